"""M2KR files to tables of queries and passages."""
