"""A local Google: tokens, Sheets v4 and Drive v3 over real HTTP, with spreadsheets in memory.

It speaks what Google documents of the calls that we make; an unknown call, parameter or field is refused.
"""

from .book import Book, Sheet
from .server import Call, Fault, Google, google_server
from .tokens import EMAIL, write_key_file

__all__ = ["EMAIL", "Book", "Call", "Fault", "Google", "Sheet", "google_server", "write_key_file"]
