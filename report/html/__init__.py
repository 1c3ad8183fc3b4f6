"""One HTML page of runs: a single file that needs no network and no script, and does more with one;
and a site of such pages.

build puts a page together from page.html.jinja, page.css and page.js; glance, answers, history,
replicates, provenance and jobs say what stands on it, links where, terms what its words mean. files
finds what a page needs besides its runs, and site makes a page for each run and an index.
"""
