"""All drills, one a fault, in the order in which they are listed."""

from tests.drills.scenarios_connecting import CONNECTING, ENDPOINTS
from tests.drills.scenarios_exchange import CONNECTIONS, DATA, LISTS, SUBSCRIBING
from tests.drills.scenarios_handover import HANDOVERS
from tests.drills.scenarios_hub import AROUND, TIME

ALL = (*CONNECTIONS, *CONNECTING, *ENDPOINTS, *DATA, *SUBSCRIBING, *LISTS, *HANDOVERS, *TIME, *AROUND)
