"""Hits with each passage once: a search keeps every row of a repeated id, TREC files and readers want passages."""

import numpy as np
import pyarrow as pa


def collapsed(hits: pa.Table) -> pa.Table:
    """The best row of each passage id of every query, in order; ranks are counted anew.

    Needs the columns query_row, rank and passage_id.

    >>> rows = {"query_row": [7, 7, 7], "rank": [1, 2, 3], "passage_id": ["a", "a", "b"]}
    >>> collapsed(pa.table(rows)).to_pydict()
    {'query_row': [7, 7], 'rank': [1, 2], 'passage_id': ['a', 'b']}
    """
    query, names = hits["query_row"].to_numpy(), hits["passage_id"].combine_chunks().dictionary_encode()
    order = np.lexsort((hits["rank"].to_numpy(), query))
    code = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    _, place = np.unique(query, return_inverse=True)
    _, first = np.unique((place * len(names.dictionary) + code)[order], return_index=True)
    kept = order[np.sort(first)]
    _, starts, lengths = np.unique(query[kept], return_index=True, return_counts=True)
    ranks = np.arange(len(kept)) - np.repeat(starts, lengths) + 1
    column = hits.column_names.index("rank")
    return hits.take(pa.array(kept)).set_column(column, "rank", pa.array(ranks, hits.schema.field("rank").type))
