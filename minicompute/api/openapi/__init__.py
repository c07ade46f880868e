"""The contract as a document: OpenAPI 3.1 for each microversion, made of what the handlers promise.

    document.py   the document of one microversion
    summaries.py  what each operation is for, in words
    fields.py     a document as a flat list of fields
    diff.py       what two documents do not have in common
    app.py        /openapi/{version}.json
    page.py       /docs: the same, to be read
"""
