"""Git: mirrors of repositories, and the commits between two deployments.

What does not belong here: which repositories there are, and which deployments are compared.
"""
