"""A user's own root file system: from a directory, a tar archive or an OCI image layout into the cache."""

from isobench.isolators.images.oci import Defaults
from isobench.isolators.images.store import Image, import_root

__all__ = ["Defaults", "Image", "import_root"]
