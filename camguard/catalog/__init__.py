"""Which actions exist: model, catalog files, and the reader of documentation pages."""
