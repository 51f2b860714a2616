# Everything here sets itself up: a fresh machine needs Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EVERYTHING := --editable '.[all]' --group dev
WORKERS ?= $(shell expr $$(nproc) + 1)
unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of interpreters, and each would compile mintdb anew

.PHONY: demo test collected mariadb mysqlclient mysql check bench soak clean

demo: $(READY)  ## run a real application's suite on an embedded PostgreSQL
	$(BIN)/mintdb demo

# One worker more than there are cores: every now and then a test waits, for a lock, a linger or a server's end.
test: $(READY)  ## lint, types and every test; what is slowest is told last
	$(MAKE) --jobs 2 --output-sync=target check mysql collected
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 25

# All workers import the same, so it is compiled once, on the core that the checks leave idle.
collected: $(READY)
	-@$(BIN)/python -m pytest --collect-only > /dev/null

# A test machine gets the server where that is allowed; elsewhere the tests that need it are skipped, and say so.
mariadb:
	@test -x /usr/sbin/mariadbd || test -z "$(CI)" || test "$$(id -u)" != 0 || \
	  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends mariadb-server; } \
	  || echo "mariadb-server could not be installed: its tests are skipped"

# Of mysqlclient there is no wheel: it is built where a compiler and MariaDB's headers are.
mysqlclient: $(READY)
	@test -z "$(CI)" || $(BIN)/python -c "import MySQLdb" 2> /dev/null \
	  || $(BIN)/uv pip install --quiet --python $(BIN)/python mysqlclient \
	  || echo "mysqlclient could not be built (gcc, pkg-config, libmariadb-dev): its tests are skipped"

# MySQL's is unpacked into the cache, and nothing is installed; after MariaDB's, for apt knows its archive then.
mysql: $(READY) mariadb mysqlclient
	@test -z "$(CI)" || $(BIN)/python -m tests.engines.mysql.debian_mysql \
	  || echo "MySQL's server could not be fetched: its tests are skipped"

check: $(READY)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## the measurements that the README cites
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/rewind.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/teardown.py
	$(BIN)/python benchmarks/sqlalchemy.py
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/snowflake.py
	$(BIN)/python benchmarks/django.py

soak: $(READY)  ## the long property tests
	MINTDB_SOAK=1 $(BIN)/python -m pytest tests/property tests/frameworks tests/connections tests/engines/mysql tests/engines/snowflake

# uv needs seconds where pip needs minutes; pip is asked where uv finds no index, as it has settings of its own.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(EVERYTHING) \
	  || $(BIN)/python -m pip install --quiet $(EVERYTHING)
	touch $(READY)

clean:  ## remove the virtual environment and what tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
