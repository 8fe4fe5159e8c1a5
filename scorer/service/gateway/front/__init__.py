"""The gateway's HTTP server: connections, heads and bodies in one event loop; requests that may run in threads.

Nobody holds a thread, or memory that is not counted, before a ``Gate`` has let the request in.
"""
