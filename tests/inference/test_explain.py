from __future__ import annotations

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.inference._near_words import WordSpace
from clipprompt.inference.explain import explain_captions, explain_context
from clipprompt.learners import DenseLearner, Learner, create_learner
from tests.backbone.stand_ins import TOKENIZERS

CLASSES = ("cat", "red bus", "traffic light")


@pytest.fixture(scope="module")
def learner(tiny_rn_backbone: Backbone) -> DenseLearner:
    made = create_learner("tai_dpt", tiny_rn_backbone, CLASSES, n_ctx=3, seed=1)
    assert isinstance(made, DenseLearner)
    return made


def _set(learner: Learner, name: str, value: torch.Tensor) -> None:
    with torch.no_grad():
        learner.get_parameter(name).copy_(value)


# nearest words


def test_the_embedding_of_a_word_is_nearest_to_that_word(tiny_rn_backbone: Backbone) -> None:
    started = create_learner("tai_dpt", tiny_rn_backbone, CLASSES, ctx_init="a photo of a")
    context = explain_context(started, top=1)
    assert [vector.words[0].word for vector in context.vectors] == ["a", "photo", "of", "a"] * 2
    assert all(vector.words[0].distance < 1e-5 < vector.noise for vector in context.vectors)
    assert [(v.parameter, v.position) for v in context.vectors][3:5] == [("ctx", 4), ("ctx_local", 1)]


def test_distances_are_those_of_a_plain_search(learner: DenseLearner) -> None:
    backbone = learner.backbone
    whole = {t: n for t, n in backbone.tokenizer.encoder.items() if t.endswith("</w>")}
    table = backbone.text.embed_tokens(torch.tensor(list(whole.values())))
    vector = learner.get_parameter("ctx_local")[1].detach()
    expected = (table - vector).norm(dim=1).sort()
    found = next(v for v in explain_context(learner, top=7).vectors if (v.parameter, v.position) == ("ctx_local", 2))
    assert [near.distance for near in found.words] == pytest.approx(expected.values[:7].tolist(), rel=1e-5)
    numbers = [list(whole.values())[index] for index in expected.indices[:7].tolist()]
    assert [near.word for near in found.words] == [backbone.tokenizer.decode([number]).strip() for number in numbers]
    assert found.length == pytest.approx(float(vector.norm()))


def test_every_word_can_be_shown(tiny_rn_backbone: Backbone) -> None:
    space = WordSpace(tiny_rn_backbone)
    words = [space.text(index) for index in range(len(space))]
    assert all(word.isprintable() for word in words)
    assert not any("</w>" in word or word.startswith("<start") for word in words)
    assert {"dog", "café", "😂"} <= set(words)
    assert any("\\x" in word for word in words), "bytes that are no text"


def test_yardsticks_are_distances_between_words(learner: DenseLearner) -> None:
    context = explain_context(learner, top=1)
    assert 0 < context.yardsticks.nearest_word < context.yardsticks.random_pair
    assert context.n_words > 30_000


def test_the_same_seed_gives_the_same_and_no_global_draw(learner: DenseLearner) -> None:
    state = torch.get_rng_state()
    assert explain_context(learner, seed=3) == explain_context(learner, seed=3)
    assert explain_context(learner, seed=3).yardsticks != explain_context(learner, seed=4).yardsticks
    assert torch.equal(torch.get_rng_state(), state)


def test_noise_has_the_length_of_the_vector(learner: DenseLearner) -> None:
    vectors = torch.eye(2, learner.backbone.text_width) * torch.tensor([[100.0], [0.0001]])
    long, short = WordSpace(learner.backbone).noise(vectors, torch.Generator().manual_seed(0))
    assert long == pytest.approx(100, rel=0.05)  # a word is a small step on the way back
    assert short < 1


def test_labels_choose_among_class_specific_contexts(tiny_rn_backbone: Backbone) -> None:
    specific = create_learner("tai_dpt", tiny_rn_backbone, CLASSES, n_ctx=2, class_specific=True)
    _set(specific, "ctx", torch.zeros_like(specific.get_parameter("ctx")))
    context = explain_context(specific, top=1, labels=["traffic_light", "Cat"])
    wanted = [(p, c, i) for p in ("ctx", "ctx_local") for c in ("traffic light", "cat") for i in (1, 2)]
    assert [(v.parameter, v.label, v.position) for v in context.vectors] == wanted
    assert len(explain_context(specific, top=1).vectors) == 2 * 3 * 2


@pytest.mark.parametrize(("method", "parameters"), [("coop", {"ctx"}), ("cocoop", {"ctx"}), ("maple", {"ctx"})])
def test_only_what_lives_among_token_embeddings_is_explained(
    tiny_vit_backbone: Backbone, method: str, parameters: set[str]
) -> None:
    made = create_learner(method, tiny_vit_backbone, CLASSES, **({"depth": 2} if method == "maple" else {}))
    assert {vector.parameter for vector in explain_context(made, top=1).vectors} == parameters


def test_a_prompt_without_context_has_nothing_to_explain(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="zero_shot has learnt no context"):
        explain_context(create_learner("zero_shot", tiny_rn_backbone, CLASSES))


def test_a_broken_prompt_is_refused(tiny_rn_backbone: Backbone) -> None:
    broken = create_learner("coop", tiny_rn_backbone, CLASSES)
    _set(broken, "ctx", torch.full_like(broken.get_parameter("ctx"), torch.nan))
    with pytest.raises(UserError, match="not finite"):
        explain_context(broken)


def test_a_tokenizer_of_another_kind_is_refused(tiny_rn_backbone: Backbone) -> None:
    class Other:
        pass

    other = Backbone.from_open_clip(tiny_rn_backbone.model, Other(), name="strange")
    with pytest.raises(UserError, match="the tokenizer of strange is no CLIP tokenizer"):
        WordSpace(other)
    foreign = Backbone.from_open_clip(tiny_rn_backbone.model, TOKENIZERS["clip"](), name="strange")
    with pytest.raises(UserError, match="the tokenizer of strange is no CLIP tokenizer"):
        explain_captions(create_learner("tai_dpt", foreign, CLASSES, n_ctx=2), ["a cat"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["cta"], "no class 'cta' \\(did you mean 'cat'\\?\\)"), (["cat", "zebra"], "no class 'zebra'"), ([], "no class")],
)
def test_an_unknown_label_is_refused(learner: DenseLearner, labels: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        explain_context(learner, labels=labels)
    with pytest.raises(UserError, match=message):
        explain_captions(learner, ["a cat"], labels=labels)


# captions

CAPTIONS = ["A cat on a red bus!!", "skateboarding giraffes", "a traffic light next to a café at night"]


@pytest.mark.parametrize("method", ["tai_dpt", "zero_shot"])
def test_the_weights_are_those_of_the_local_branch(tiny_rn_backbone: Backbone, method: str) -> None:
    made = create_learner(method, tiny_rn_backbone, CLASSES)
    assert isinstance(made, DenseLearner)
    text = "a cat on a red bus at night"  # every word is one token: the branch is the mean weighted by words
    with torch.no_grad():
        features = made.encode_captions(tiny_rn_backbone.tokenize([text]))
        local = made.branch_logits_from(features).local[0]
        cosines = features.tokens @ made.local_class_features().T
    scale = made.options.model_dump().get("logit_scale", tiny_rn_backbone.logit_scale)
    (entry,) = explain_captions(made, [text])
    assert len(entry.words) == len(cosines)
    for attention in entry.classes:
        column = CLASSES.index(attention.label)
        mean = float(torch.tensor(attention.weights) @ cosines[:, column])
        assert scale * mean == pytest.approx(float(local[column]), rel=1e-4)


def test_weights_add_up_to_one(learner: DenseLearner) -> None:
    for entry in explain_captions(learner, CAPTIONS):
        for attention in entry.classes:
            assert len(attention.weights) == len(entry.words)
            assert sum(attention.weights) == pytest.approx(1, abs=1e-5)


def test_pieces_of_a_word_are_joined(learner: DenseLearner) -> None:
    text = "a Grzegorzbrzęczyszczykiewicz cat!!"
    (entry,) = explain_captions(learner, [text])
    assert entry.words == ("[start]", "a", "grzegorzbrzęczyszczykiewicz", "cat", "!!", "[end]")
    assert int((learner.backbone.tokenize([text]) != 0).sum()) > len(entry.words) + 3
    assert not entry.cut


def test_classes_are_sorted_by_the_learners_logits(learner: DenseLearner) -> None:
    (entry,) = explain_captions(learner, ["a cat"], top=2)
    logits = learner.logits_from(learner.encode_captions(learner.backbone.tokenize(["a cat"])))[0]
    best = logits.topk(2)
    assert [attention.label for attention in entry.classes] == [CLASSES[i] for i in best.indices.tolist()]
    assert [attention.logit for attention in entry.classes] == pytest.approx(best.values.tolist(), rel=1e-5)


def test_labels_restrict_the_classes(learner: DenseLearner) -> None:
    (entry,) = explain_captions(learner, ["a cat"], labels=["red bus"])
    assert [attention.label for attention in entry.classes] == ["red bus"]


def test_a_caption_reads_the_same_alone_and_among_many(learner: DenseLearner) -> None:
    many = explain_captions(learner, CAPTIONS * 30, top=1)
    alone = explain_captions(learner, [CAPTIONS[1]], top=1)
    assert len(many) == 90
    assert many[85].words == alone[0].words
    assert many[85].classes[0].weights == pytest.approx(alone[0].classes[0].weights, abs=1e-5)


def test_a_caption_that_is_too_long_is_cut_and_says_so(learner: DenseLearner) -> None:
    room = learner.backbone.context_length - 2
    fits, cut = explain_captions(learner, [" ".join(["dog"] * room), " ".join(["dog"] * (room + 1))])
    assert (fits.cut, cut.cut) == (False, True)
    assert len(fits.words) == len(cut.words) == room + 2
    assert cut.words[-1] == "[end]"


def test_a_caption_that_is_cut_within_a_word_keeps_the_piece(learner: DenseLearner) -> None:
    (entry,) = explain_captions(
        learner, ["dog " * (learner.backbone.context_length - 3) + "grzegorzbrzęczyszczykiewicz"]
    )
    assert entry.cut
    assert entry.words[-2] == "gr"


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_caption_is_refused(learner: DenseLearner, empty: str) -> None:
    with pytest.raises(UserError, match="caption is empty"):
        explain_captions(learner, ["a cat", empty])


def test_a_learner_without_a_local_branch_attends_to_no_words(tiny_rn_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="coop has no local branch"):
        explain_captions(create_learner("coop", tiny_rn_backbone, CLASSES), ["a cat"])
