import torch

from rayml.models.layers.embedding import MAX_WIDTH, FeatureEmbedding, embedding_width
from rayml.types import FeatureShape


def test_width_grows_with_the_largest_column_up_to_a_bound():
    widths = [embedding_width([3, largest]) for largest in (3, 10, 43, 10_000)]
    assert widths == sorted(widths)
    assert widths[0] == 3
    assert widths[-1] == MAX_WIDTH


def test_each_column_has_its_own_rows_of_the_table():
    embedding = FeatureEmbedding(FeatureShape(numeric=1, cardinalities=(2, 3)), width=4)
    numeric = torch.tensor([[0.5], [1.5]])
    result = embedding(numeric, torch.tensor([[1, 0], [0, 2]]))
    table = embedding.table
    assert result.shape == (2, embedding.width) == (2, 9)
    assert torch.equal(result[0], torch.cat([numeric[0], table[1], table[2]]))
    assert torch.equal(result[1], torch.cat([numeric[1], table[0], table[4]]))


def test_numeric_features_alone_pass_unchanged():
    embedding = FeatureEmbedding(FeatureShape(numeric=2))
    numeric = torch.randn(3, 2)
    assert embedding.width == 2
    assert embedding(numeric, torch.empty(3, 0, dtype=torch.int64)) is numeric


def test_categories_alone_make_the_whole_vector():
    embedding = FeatureEmbedding(FeatureShape(numeric=0, cardinalities=(5,)), width=3)
    assert embedding(torch.empty(2, 0), torch.tensor([[4], [0]])).shape == (2, 3)
