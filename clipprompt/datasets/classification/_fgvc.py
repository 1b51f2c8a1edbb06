"""The five fine-grained sets of visual prompt tuning (Jia et al., ECCV 2022, arXiv 2203.12119, appendix, Table 8).

Each lies as its authors give it, with the study's ``train.json``, ``val.json`` and ``test.json`` beside its pictures.
Where a set has no validation part, the study keeps a tenth of the training pictures for it.
"""

from __future__ import annotations

from clipprompt.datasets.classification._specification import Specification, by_part

_SPLITS = (
    "the study's train.json, val.json and test.json (link in https://github.com/KMnP/vpt; json.zip of "
    "https://huggingface.co/datasets/XiN0919/FGVC has them too)"
)


def _fine_grained(
    name: str,
    title: str,
    folder: str,
    images: str,
    n_classes: int,
    sizes: dict[str, int],
    marks: tuple[str, ...],
    address: str,
    others: tuple[str, ...] = (),
) -> Specification:
    places = (folder, *others)
    return Specification(
        name=name,
        title=title,
        folder=folder,
        images=images,
        reader="study_json",
        n_classes=n_classes,
        sizes=sizes,
        marks=marks,
        by_hand=f"get the pictures at {address} and {_SPLITS}, and put both into {folder}",
        other_folders=(*others, *(f"fgvc/{place}" for place in places)),
        group="fgvc",
    )


FGVC = (
    _fine_grained(
        "fgvc-cub",
        "CUB-200-2011",
        "CUB_200_2011",
        "images",
        200,
        by_part(5394, 600, 5794),
        ("images/001.Black_footed_Albatross",),
        "https://data.caltech.edu/records/65de6-vp158",
    ),
    _fine_grained(
        "fgvc-nabirds",
        "NABirds",
        "nabirds",
        "images",
        555,
        by_part(21_536, 2393, 24_633),
        ("hierarchy.txt",),
        "http://info.allaboutbirds.org/nabirds",
    ),
    _fine_grained(
        "fgvc-flowers",
        "Oxford Flowers",
        "OxfordFlower",
        ".",
        102,
        by_part(1020, 1020, 6149),
        ("setid.mat",),
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
        ("OxfordFlowers",),
    ),
    _fine_grained(
        "fgvc-dogs",
        "Stanford Dogs",
        "Stanford-dogs",
        "Images",
        120,
        by_part(10_800, 1200, 8580),
        ("file_list.mat",),
        "http://vision.stanford.edu/aditya86/ImageNetDogs",
        ("StanfordDogs", "stanford_dogs"),
    ),
    _fine_grained(
        "fgvc-cars",
        "Stanford Cars",
        "Stanford-cars",
        ".",
        196,
        by_part(7329, 815, 8041),
        ("car_ims", "cars_annos.mat"),
        "https://huggingface.co/datasets/XiN0919/FGVC (car_ims.tgz; Stanford's own address is dead)",
        ("StanfordCars",),
    ),
)
"""In the order of the study's tables."""
