// A shared library that is put together from static ones needs a source file of its own.
