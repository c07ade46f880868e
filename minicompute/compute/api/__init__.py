"""What the REST resources call: check what may be checked now, write the action, ring.

    create   power   delete   parts (metadata, tags, names)   console   lookup
"""
