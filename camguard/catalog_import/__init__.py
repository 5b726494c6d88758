"""Documentation pages to catalog files. Used by the command line alone, never by a process that serves.

`file_kinds` tells what a file is and decodes it. Each shape of a page then becomes the same lines:
`html_tables` reads HTML, and `lines`, `drawn_tables` and `aligned_tables` read what programs print. `words`
knows the headers and words that tables are made of, `tables` reads rows in the ways in which a table lies on
a page, and `page` puts them together to a `ParsedPage` with every problem. `merge` unites rows and pages, and
`build` compares pages with the catalog files that they would replace.
"""
