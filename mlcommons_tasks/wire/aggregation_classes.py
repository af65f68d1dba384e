"""What Java says of an aggregation that has no single value, by the type that `typed_keys` gives it. Pure.

Source: asked of the plugin, 3.6.0; `NumericMetricsAggregation.SingleValue` of OpenSearch 3.6.0.
"""

from __future__ import annotations

SINGLE_VALUES = frozenset(
    {"avg", "cardinality", "max", "median_absolute_deviation", "min", "simple_value", "sum", "value_count"}
    | {"weighted_avg"}
)
_SEARCH = "org.opensearch.search.aggregations"
_SINGLE_VALUE = f"{_SEARCH}.metrics.NumericMetricsAggregation$SingleValue"
_CLASSES = {
    "adjacency_matrix": "bucket.adjacency.InternalAdjacencyMatrix",
    "auto_date_histogram": "bucket.histogram.InternalAutoDateHistogram",
    "children": "bucket.InternalChildren",
    "composite": "bucket.composite.InternalComposite",
    "date_histogram": "bucket.histogram.InternalDateHistogram",
    "date_range": "bucket.range.InternalDateRange",
    "dterms": "bucket.terms.DoubleTerms",
    "extended_stats": "metrics.InternalExtendedStats",
    "filter": "bucket.filter.InternalFilter",
    "filters": "bucket.filter.InternalFilters",
    "geo_centroid": "metrics.InternalGeoCentroid",
    "global": "bucket.global.InternalGlobal",
    "hdr_percentile_ranks": "metrics.InternalHDRPercentileRanks",
    "hdr_percentiles": "metrics.InternalHDRPercentiles",
    "histogram": "bucket.histogram.InternalHistogram",
    "ip_range": "bucket.range.InternalBinaryRange",
    "lrareterms": "bucket.terms.LongRareTerms",
    "lterms": "bucket.terms.LongTerms",
    "missing": "bucket.missing.InternalMissing",
    "multi_terms": "bucket.terms.InternalMultiTerms",
    "nested": "bucket.nested.InternalNested",
    "range": "bucket.range.InternalRange",
    "reverse_nested": "bucket.nested.InternalReverseNested",
    "sampler": "bucket.sampler.InternalSampler",
    "scripted_metric": "metrics.InternalScriptedMetric",
    "siglterms": "bucket.terms.SignificantLongTerms",
    "sigsterms": "bucket.terms.SignificantStringTerms",
    "srareterms": "bucket.terms.StringRareTerms",
    "stats": "metrics.InternalStats",
    "sterms": "bucket.terms.StringTerms",
    "tdigest_percentile_ranks": "metrics.InternalTDigestPercentileRanks",
    "tdigest_percentiles": "metrics.InternalTDigestPercentiles",
    "top_hits": "metrics.InternalTopHits",
    "ulterms": "bucket.terms.UnsignedLongTerms",
    "variable_width_histogram": "bucket.histogram.InternalVariableWidthHistogram",
}


def class_cast_problem(kind: str) -> str:
    """Return the sentence for an aggregation of this type, of which one value is wanted."""
    name = f"{_SEARCH}.{_CLASSES[kind]}" if kind in _CLASSES else kind
    whose = f"({name} and {_SINGLE_VALUE} are in unnamed module of loader 'app')"
    return f"class {name} cannot be cast to class {_SINGLE_VALUE} {whose}"
