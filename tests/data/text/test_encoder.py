"""Encoders: what they compute, and that the bits of a text depend on nothing but the text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.data.text.encoder import TextEncoder
from rayml.data.text.folder import read_folder
from tests.data.text import tiny

pytest.importorskip("tokenizers")


def opened(folder: Path, max_tokens: int = 256) -> TextEncoder:
    found = read_folder(folder, max_tokens)
    return TextEncoder(found.spec, found.tokenizer.read_bytes(), found.weights.read_bytes())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return opened(tiny.sentence_transformer(tmp_path_factory.mktemp("encoders") / "bert"))


def by_torch(texts: list[str]) -> np.ndarray:
    """The tiny BERT by PyTorch's own layers, padded in one batch, where rayml takes texts alone."""
    import tokenizers

    tensors = tiny.bert_tensors()
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(tiny.tokenizer()))
    tokenizer.enable_truncation(24)
    tokenizer.enable_padding(pad_id=0)
    read = tokenizer.encode_batch(texts)
    ids, mask = (
        torch.tensor([getattr(each, name) for each in read]) for name in ("ids", "attention_mask")
    )
    hidden = tensors["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
    hidden = hidden + tensors["embeddings.token_type_embeddings.weight"][0]
    norm = torch.nn.LayerNorm(tiny.WIDTH, 1e-12)
    norm.load_state_dict({k: tensors[f"embeddings.LayerNorm.{k}"] for k in ("weight", "bias")})
    hidden = norm(hidden)
    for number in range(tiny.LAYERS):
        layer = torch.nn.TransformerEncoderLayer(
            tiny.WIDTH, tiny.HEADS, tiny.INNER, 0.0, "gelu", 1e-12, batch_first=True
        ).eval()
        start = f"encoder.layer.{number}."
        state = {}
        for kind in ("weight", "bias"):
            parts = [
                tensors[f"{start}attention.self.{n}.{kind}"] for n in ("query", "key", "value")
            ]
            state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
            for ours, theirs in (
                ("self_attn.out_proj", "attention.output.dense"),
                ("linear1", "intermediate.dense"),
                ("linear2", "output.dense"),
                ("norm1", "attention.output.LayerNorm"),
                ("norm2", "output.LayerNorm"),
            ):
                state[f"{ours}.{kind}"] = tensors[f"{start}{theirs}.{kind}"]
        layer.load_state_dict(state)
        with torch.no_grad():
            hidden = layer(hidden, src_key_padding_mask=mask == 0)
    kept = mask[..., None].float()
    pooled = (hidden * kept).sum(1) / kept.sum(1)
    return torch.nn.functional.normalize(pooled, dim=1).detach().numpy()


def test_a_bert_computes_what_the_layers_of_pytorch_do(bert: TextEncoder) -> None:
    texts = list(tiny.TEXTS)
    np.testing.assert_allclose(bert.encode(texts).vectors, by_torch(texts), atol=2e-6)


def test_long_texts_are_cut_and_count_all_their_tokens(bert: TextEncoder) -> None:
    assert bert.spec.max_tokens == 24
    head, long, huge = bert.encode([" ".join(["food"] * n) for n in (22, 200, 20_000)]).vectors
    assert head.tobytes() == long.tobytes() == huge.tobytes()
    tokens = bert.encode([" ".join(["food"] * n) for n in (22, 200)]).tokens
    assert tokens.tolist() == [24, 202]
    assert bert.encode(["food " * 20_000]).tokens[0] > 24


@pytest.mark.parametrize("pooling", ["cls_token", "max_tokens"])
def test_pooling_follows_the_folder(tmp_path: Path, pooling: str, bert: TextEncoder) -> None:
    other = opened(tiny.sentence_transformer(tmp_path / "other", pooling))
    one, two = (encoder.encode(["good food"]).vectors[0] for encoder in (bert, other))
    assert other.spec.pooling == pooling.partition("_")[0]
    assert np.linalg.norm(two) == pytest.approx(1, abs=1e-6)
    assert abs(one - two).max() > 0.001


def test_a_model_of_hugging_face_has_the_mean_of_its_tokens(
    tmp_path: Path, bert: TextEncoder
) -> None:
    plain = opened(tiny.hugging_face(tmp_path / "plain"))
    assert (plain.spec.normalize, plain.spec.max_tokens) == (False, tiny.POSITIONS)
    found, expected = (each.encode(["good food"]).vectors[0] for each in (plain, bert))
    np.testing.assert_allclose(found / np.linalg.norm(found), expected, atol=1e-6)


def test_a_static_encoder_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    encoder = opened(tiny.static(tmp_path / "static"), 3)
    table = torch.randn(len(tiny.WORDS), 16, generator=torch.Generator().manual_seed(1)).numpy()
    good, food, bad = (tiny.WORDS.index(word) for word in ("good", "food", "bad"))
    found = encoder.encode(["Good food", "good good bad food", "\u0007"])
    np.testing.assert_allclose(found.vectors[0], table[[good, food]].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.vectors[1], table[[good, good, bad]].mean(0), rtol=1e-6)
    assert not found.vectors[2].any()  # no token at all
    assert found.tokens.tolist() == [2, 4, 0]


def test_model2vec_weighs_shared_rows_and_leaves_out_unknown_words(tmp_path: Path) -> None:
    encoder = opened(tiny.model2vec(tmp_path / "m2v"))
    generator = torch.Generator().manual_seed(2)
    table, weights = (
        torch.randn(20, 16, generator=generator),
        torch.rand(len(tiny.WORDS), generator=generator),
    )
    places = [tiny.WORDS.index(word) for word in ("good", "food")]
    mean = (table[[each % 20 for each in places]] * weights[places, None]).mean(0)
    expected = (mean / mean.norm()).numpy()
    found = encoder.encode(["good food", "good 日 food"]).vectors
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-5)


ANY_TEXT = st.text(max_size=60) | st.lists(st.sampled_from(tiny.WORDS[-11:]), max_size=60).map(
    " ".join
)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=12), threads=st.sampled_from([1, 2, 3]))
def test_bits_depend_on_the_text_alone(bert: TextEncoder, texts: list[str], threads: int) -> None:
    before = torch.get_num_threads()
    alone = [bert.encode([text]).vectors[0].tobytes() for text in texts]
    try:
        torch.set_num_threads(threads)
        together = bert.encode([*reversed(texts), "a"]).vectors[-2::-1]
    finally:
        torch.set_num_threads(before)
    assert [row.tobytes() for row in together] == alone
    assert np.isfinite(bert.encode(texts).vectors).all()


def test_bits_do_not_depend_on_the_threads_of_the_process(
    bert: TextEncoder, tmp_path: Path
) -> None:
    before, texts = torch.get_num_threads(), list(tiny.TEXTS)
    expected = bert.encode(texts).vectors.tobytes()
    folder = tiny.sentence_transformer(tmp_path / "again")
    for threads in (1, 4):
        torch.set_num_threads(threads)
        try:
            assert opened(folder).encode(texts).vectors.tobytes() == expected
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)


def test_half_a_surrogate_pair_is_read_as_another_letter(bert: TextEncoder) -> None:
    broken, question = bert.encode(["bad \ud83d food", "bad ? food"]).vectors
    assert broken.tobytes() == question.tobytes()


def test_the_encoder_of_a_package_knows_what_texts_mean(tmp_path: Path) -> None:
    encoder = opened(tiny.wordllama(tmp_path / "wordllama"))
    assert (encoder.spec.width, encoder.spec.vocabulary) == (256, 32_000)
    cat, kitten, tax = encoder.encode(
        ["a cat sat on the sofa", "the kitten sleeps on a couch", "income tax returns are due"]
    ).vectors
    assert tiny.cosine(cat, kitten) > 0.3 > 0.1 > tiny.cosine(cat, tax)
