"""Names in Elasticsearch that workers and the connector agree on."""

from __future__ import annotations

#: The sink that writes documents, as it stands in settings and jobs.
ELASTIC = "elastic"
#: The data stream of scores, less the namespace.
SCORES_DATASET = "qscore.scores"
SCORES_STREAM = "logs-" + SCORES_DATASET
#: A data stream's namespace as Elastic allows it: no hyphen, which separates the parts of the stream's name.
NAMESPACE = r"^[a-z0-9][a-z0-9_.]{0,99}$"
