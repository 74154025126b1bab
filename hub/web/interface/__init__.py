"""The public interface, described for machines: OpenAPI for the routes, AsyncAPI for the events. No part of a request.

``docs/protocol.md`` has an example of each route and event, which a test holds against a running hub. The schemas are
inferred from those examples; ``routes`` and ``events`` add what an example can't say: parameters, other statuses, what
may be missing or null; ``glossary`` says what a field means, wherever it appears.
"""
