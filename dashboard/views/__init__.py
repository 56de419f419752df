"""One module per page, each with one public function `page()`."""
