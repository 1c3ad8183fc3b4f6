/* A stand-in for libnvidia-ml.so.1, for tests on machines without a driver: two synthetic cards, plain values.
   Environment: FAKE_NVML_UNSUPPORTED=energy|memory_v2 answers NOT_SUPPORTED / FUNCTION_NOT_FOUND there;
   FAKE_NVML_LOSE=N: card 1 is lost from the N-th utilization reading on; FAKE_NVML_PID: a process on card 0;
   FAKE_NVML_GONE=N|all: no handle of that card; FAKE_NVML_DENIED=N: no permission for it; FAKE_NVML_INIT=CODE: of nvmlInit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, LOST = 15 };
static int cards[2] = {0, 1}, readings;
static int is(const char *name, const char *value) {
    const char *v = getenv(name);
    return v && strcmp(v, value) == 0;
}
static int lost(const int *card) {
    const char *n = getenv("FAKE_NVML_LOSE");
    return n && *card == 1 && readings >= atoi(n) ? LOST : OK;
}
int nvmlInitWithFlags(unsigned flags) { const char *code = getenv("FAKE_NVML_INIT"); return code ? atoi(code) : OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported" : "other"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, int **handle) {
    if (index > 1) return NOT_FOUND;
    char number[12];
    snprintf(number, sizeof number, "%u", index);
    if (is("FAKE_NVML_GONE", number) || is("FAKE_NVML_GONE", "all")) return LOST;
    if (is("FAKE_NVML_DENIED", number)) return NO_PERMISSION;
    *handle = &cards[index];
    return OK;
}
int nvmlDeviceGetUUID(int *card, char *text, unsigned size) { snprintf(text, size, "GPU-fake-%d", *card); return OK; }
int nvmlDeviceGetName(int *card, char *text, unsigned size) { snprintf(text, size, "Fake Card"); return OK; }
int nvmlDeviceGetUtilizationRates(int *card, unsigned *rates) {
    if (*card == 1) readings++;
    rates[0] = 90 + *card; rates[1] = 40;
    return lost(card);
}
struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo(int *card, struct memory *m) { m->total = 1000; m->used = 300; m->free = 700; return lost(card); }
int nvmlDeviceGetMemoryInfo_v2(int *card, struct memory_v2 *m) {
    if (is("FAKE_NVML_UNSUPPORTED", "memory_v2")) return FUNCTION_NOT_FOUND;
    m->total = 1000; m->reserved = 100; m->used = 200; m->free = 700;
    return lost(card);
}
int nvmlDeviceGetPowerUsage(int *card, unsigned *mw) { *mw = 123456; return lost(card); }
int nvmlDeviceGetEnforcedPowerLimit(int *card, unsigned *mw) { *mw = 400000; return lost(card); }
int nvmlDeviceGetTotalEnergyConsumption(int *card, unsigned long long *mj) {
    if (is("FAKE_NVML_UNSUPPORTED", "energy")) return NOT_SUPPORTED;
    *mj = 5000000000ull;
    return lost(card);
}
int nvmlDeviceGetClockInfo(int *card, int which, unsigned *mhz) { *mhz = which == 1 ? 1410 : 1593; return lost(card); }
int nvmlDeviceGetCurrentClocksThrottleReasons(int *card, unsigned long long *mask) { *mask = 4; return lost(card); }
int nvmlDeviceGetTemperature(int *card, int sensor, unsigned *degrees) { *degrees = 61; return lost(card); }
int nvmlDeviceGetMigMode(int *card, unsigned *now, unsigned *pending) { return NOT_SUPPORTED; }
int nvmlDeviceGetPersistenceMode(int *card, int *mode) { *mode = 0; return OK; }
struct process { unsigned pid; unsigned long long memory; unsigned gi, ci; };
int nvmlDeviceGetComputeRunningProcesses_v3(int *card, unsigned *count, struct process *processes) {
    const char *pid = getenv("FAKE_NVML_PID");
    if (!pid || *card == 1) { *count = 0; return lost(card); }
    if (!processes || *count < 1) { *count = 1; return INSUFFICIENT_SIZE; }
    *count = 1;
    processes[0] = (struct process){(unsigned)atoi(pid), 1 << 20, 0, 0};
    return OK;
}
