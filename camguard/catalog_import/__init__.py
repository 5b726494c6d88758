"""Documentation pages to catalog files. Used by the command line alone, never by a process that serves.

A page travels through four modules: `lines` cleans it, `words` knows the headers and words that tables are
made of, `tables` reads rows in the three ways in which a table lies on a page, and `page` puts them together
to a `ParsedPage` with every problem. `build` compares pages with the catalog files that they would replace.
"""
