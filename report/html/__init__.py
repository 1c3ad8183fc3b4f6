"""One HTML page of runs: a single file that needs no network and no script, and does more with one.

build puts it together from page.html.jinja, page.css and page.js; answers, provenance and jobs say
what stands on it.
"""
