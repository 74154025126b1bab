"""All drills, one a fault, in the order in which they are listed."""

from tests.drills.scenarios_connecting import CONNECTING, ENDPOINTS
from tests.drills.scenarios_exchange import CONNECTIONS, DATA, LISTS, MOVES, SUBSCRIBING
from tests.drills.scenarios_handover import HANDOVERS
from tests.drills.scenarios_hub import AROUND, TIME
from tests.drills.scenarios_paths import ENDPOINTS_GONE, PATHS

ALL = (
    *CONNECTIONS, *CONNECTING, *ENDPOINTS, *DATA, *SUBSCRIBING, *LISTS, *MOVES, *ENDPOINTS_GONE, *PATHS, *HANDOVERS,
    *TIME, *AROUND,
)  # fmt: skip
