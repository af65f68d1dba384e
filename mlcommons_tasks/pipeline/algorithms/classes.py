"""What the plugin says of an algorithm that cannot do what it is asked for: which of Java's classes is none of which.

Source: ml-commons 3.6.0 `MLEngineClassLoader`, the `@Function` of each class; recorded (train_predict, train_others).
"""

from __future__ import annotations

from mlcommons_tasks.errors import IllegalArgument, ServerError, TaskPluginError

_PACKAGE = "org.opensearch.ml.engine."
_COMMON = "org.opensearch.ml.common.dataset."
_LOADER = "loader java.net.URLClassLoader @17c2d509"  #: an address in memory; any will do
#: The class behind each function name, below the package of algorithms. Those that have none are not in it.
_CLASSES = {
    "LINEAR_REGRESSION": "regression.LinearRegression",
    "KMEANS": "clustering.KMeans",
    "AD_LIBSVM": "ad.AnomalyDetectionLibSVM",
    "SAMPLE_ALGO": "sample.SampleAlgo",
    "LOCAL_SAMPLE_CALCULATOR": "sample.LocalSampleCalculator",
    "FIT_RCF": "rcf.FixedInTimeRandomCutForest",
    "BATCH_RCF": "rcf.BatchRandomCutForest",
    "ANOMALY_LOCALIZATION": "anomalylocalization.AnomalyLocalizerImpl",
    "RCF_SUMMARIZE": "clustering.RCFSummarize",
    "LOGISTIC_REGRESSION": "regression.LogisticRegression",
    "TEXT_EMBEDDING": "text_embedding.TextEmbeddingDenseModel",
    "METRICS_CORRELATION": "metrics_correlation.MetricsCorrelation",
    "REMOTE": "remote.RemoteModel",
    "SPARSE_ENCODING": "sparse_encoding.TextEmbeddingSparseEncodingModel",
    "SPARSE_TOKENIZE": "tokenize.SparseTokenizerModel",
    "TEXT_SIMILARITY": "text_similarity.TextSimilarityCrossEncoderModel",
    "AGENT": "agent.MLAgentExecutor",
    "QUESTION_ANSWERING": "question_answering.QuestionAnsweringModel",
    "TOOL": "tool.MLToolExecutor",
}


def cannot(function_name: str, ability: str) -> TaskPluginError:
    """Return what is said of an algorithm that is no `ability`: Trainable, Predictable or TrainAndPredictable."""
    if function_name not in _CLASSES:
        return IllegalArgument(f"Can't find class for type {function_name}")
    return _no_cast(f"{_PACKAGE}algorithms.{_CLASSES[function_name]}", _PACKAGE + ability)


def no_frame(dataset: str) -> TaskPluginError:
    """Return what is said of a dataset that is no data frame: one of REMOTE or texts."""
    return _no_cast(_COMMON + dataset, _COMMON + "DataFrameInputDataset")


def _no_cast(found: str, wanted: str) -> ServerError:
    return ServerError(
        f"class {found} cannot be cast to class {wanted} ({found} and {wanted} are in unnamed module of {_LOADER})",
        type="class_cast_exception",
    )
