"""What is installed into Elasticsearch and Kibana, and taken out again."""
