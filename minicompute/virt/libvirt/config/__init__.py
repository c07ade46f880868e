"""What libvirt's XML is made of: one small typed record for each piece, each with `xml()`.

Elements are built, never formatted: nothing that a user wrote can become markup.
"""
