"""oslo.db registers [database]; here is only what is ours."""
from oslo_db import options as db_options

OPTIONS = {'database': list(db_options.database_opts)}
