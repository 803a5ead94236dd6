"""reports.generate."""
