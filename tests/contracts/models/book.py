"""All scenarios: the modules that have some are imported here."""

from tests.contracts.models import administration, groups, logs, months, postgres, silence, transactions
from tests.contracts.models import scenarios as books

KAFKA = books.KAFKA.scenarios
POSTGRES = books.POSTGRES.scenarios
_MODULES = (administration, groups, logs, months, postgres, silence, transactions)
