"""The named sets with one class a picture: CoOp's eleven, ImageNet's four variants, the fine-grained five and VTAB-1k.

Folders, split files and sizes of the fifteen are those that CoOp uses (Zhou et al., IJCV 2022, arXiv 2109.01134,
appendix A), so what its users have on disk is read as it lies there. How the official files say it is a reader's affair
(``official/``).
"""

from __future__ import annotations

from collections.abc import Mapping

from clipprompt.datasets.classification._fgvc import FGVC
from clipprompt.datasets.classification._specification import HUB_REPOSITORY, Specification, by_part
from clipprompt.datasets.classification._vtab import VTAB

__all__ = ["ELEVEN", "FIFTEEN", "HUB_REPOSITORY", "SHOWN", "SPECIFICATIONS", "VARIANTS", "Specification"]

_FIFTEEN = (
    Specification(
        name="imagenet",
        title="ImageNet",
        folder="imagenet",
        images="images",
        reader="synset_folders",
        n_classes=1000,
        sizes={"train": 1_281_167, "test": 50_000},
        marks=("images/val", "images/train"),
        by_hand=(
            "get ImageNet's train and val at https://image-net.org, put the folders n01440764 … of both below "
            "imagenet/images/train and imagenet/images/val, and CoOp's classnames.txt into imagenet"
        ),
    ),
    Specification(
        name="caltech101",
        title="Caltech101",
        folder="caltech-101",
        images="101_ObjectCategories",
        reader="class_folders",
        n_classes=100,
        sizes=by_part(4128, 1649, 2465),
        split_file="split_zhou_Caltech101.json",
        split_sha256="43ab95e88d2f6a32a11c4f8dc9f822c534e822f3dbbde2e248af5432d771a6fc",
        marks=("split_zhou_Caltech101.json", "101_ObjectCategories"),
        renamed={"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"},
        left_out=("BACKGROUND_Google", "Faces_easy"),
        archive="caltech-101.zip",
        torchvision="Caltech101",
    ),
    Specification(
        name="oxford_pets",
        title="OxfordPets",
        folder="oxford_pets",
        images="images",
        reader="pets_lists",
        n_classes=37,
        sizes=by_part(2944, 736, 3669),
        split_file="split_zhou_OxfordPets.json",
        marks=("split_zhou_OxfordPets.json", "annotations/trainval.txt"),
        archive="oxford_pets.zip",
        torchvision="OxfordIIITPet",
    ),
    Specification(
        name="stanford_cars",
        title="StanfordCars",
        folder="stanford_cars",
        images=".",
        reader="cars_devkit",
        n_classes=196,
        sizes=by_part(6509, 1635, 8041),
        split_file="split_zhou_StanfordCars.json",
        marks=("split_zhou_StanfordCars.json", "devkit/cars_meta.mat", "cars_train", "cars_test"),
        archive="stanford_cars.zip",
        torchvision="StanfordCars",
    ),
    Specification(
        name="flowers102",
        title="Flowers102",
        folder="oxford_flowers",
        images="jpg",
        reader="flower_labels",
        n_classes=102,
        sizes=by_part(4093, 1633, 2463),
        split_file="split_zhou_OxfordFlowers.json",
        marks=("split_zhou_OxfordFlowers.json", "imagelabels.mat", "cat_to_name.json"),
        archive="oxford_flowers.zip",
        torchvision="Flowers102",
    ),
    Specification(
        name="food101",
        title="Food101",
        folder="food-101",
        images="images",
        reader="class_folders",
        n_classes=101,
        sizes=by_part(50_500, 20_200, 30_300),
        split_file="split_zhou_Food101.json",
        marks=("split_zhou_Food101.json", "meta/train.json"),
        archive="food101.zip",
        torchvision="Food101",
    ),
    Specification(
        name="fgvc_aircraft",
        title="FGVCAircraft",
        folder="fgvc_aircraft",
        images="images",
        reader="aircraft_lists",
        n_classes=100,
        sizes=by_part(3334, 3333, 3333),
        marks=("variants.txt", "images_variant_test.txt"),
        high_variance=True,
        archive="fgvc_aircraft.zip",
        torchvision="FGVCAircraft",
    ),
    Specification(
        name="sun397",
        title="SUN397",
        folder="sun397",
        images="SUN397",
        reader="sun_lists",
        n_classes=397,
        sizes=by_part(15_880, 3970, 19_850),
        split_file="split_zhou_SUN397.json",
        marks=("split_zhou_SUN397.json", "SUN397", "Training_01.txt"),
        archive="sun397.zip",
        torchvision="SUN397",
    ),
    Specification(
        name="dtd",
        title="DTD",
        folder="dtd",
        images="images",
        reader="class_folders",
        n_classes=47,
        sizes=by_part(2820, 1128, 1692),
        split_file="split_zhou_DescribableTextures.json",
        marks=("split_zhou_DescribableTextures.json", "imdb/imdb.mat", "labels/labels_joint_anno.txt"),
        high_variance=True,
        archive="dtd.zip",
        torchvision="DTD",
    ),
    Specification(
        name="eurosat",
        title="EuroSAT",
        folder="eurosat",
        images="2750",
        reader="class_folders",
        n_classes=10,
        sizes=by_part(13_500, 5400, 8100),
        split_file="split_zhou_EuroSAT.json",
        marks=("split_zhou_EuroSAT.json", "2750"),
        renamed={
            "AnnualCrop": "Annual Crop Land",
            "HerbaceousVegetation": "Herbaceous Vegetation Land",
            "Highway": "Highway or Road",
            "Industrial": "Industrial Buildings",
            "Pasture": "Pasture Land",
            "PermanentCrop": "Permanent Crop Land",
            "Residential": "Residential Buildings",
            "SeaLake": "Sea or Lake",
        },
        high_variance=True,
        archive="eurosat.zip",
        torchvision="EuroSAT",
    ),
    Specification(
        name="ucf101",
        title="UCF101",
        folder="ucf101",
        images="UCF-101-midframes",
        reader="ucf_lists",
        n_classes=101,
        sizes=by_part(7639, 1898, 3783),
        split_file="split_zhou_UCF101.json",
        marks=("split_zhou_UCF101.json", "UCF-101-midframes", "ucfTrainTestlist"),
        archive="ucf101.zip",
    ),
    Specification(
        name="imagenet_v2",
        title="ImageNetV2",
        folder="imagenetv2",
        images="imagenetv2-matched-frequency-format-val",
        reader="numbered_folders",
        n_classes=1000,
        sizes={"test": 10_000},
        marks=("imagenetv2-matched-frequency-format-val",),
        archive="imagenetv2.zip",
    ),
    Specification(
        name="imagenet_sketch",
        title="ImageNet-Sketch",
        folder="imagenet-sketch",
        images="images",
        reader="synset_folders",
        n_classes=1000,
        sizes={"test": 50_889},
        marks=("images/n01440764",),
        archive="imagenet-sketch.zip",
    ),
    Specification(
        name="imagenet_a",
        title="ImageNet-A",
        folder="imagenet-adversarial",
        images="imagenet-a",
        reader="synset_folders",
        n_classes=200,
        sizes={"test": 7500},
        marks=("imagenet-a",),
        archive="imagenet-adversarial.zip",
    ),
    Specification(
        name="imagenet_r",
        title="ImageNet-R",
        folder="imagenet-rendition",
        images="imagenet-r",
        reader="synset_folders",
        n_classes=200,
        sizes={"test": 30_000},
        marks=("imagenet-r",),
        archive="imagenet-rendition.zip",
    ),
)

SPECIFICATIONS: Mapping[str, Specification] = {one.name: one for one in (*_FIFTEEN, *FGVC, *VTAB)}
"""The named sets by name, in the order of tables in papers."""

FIFTEEN = tuple(one.name for one in _FIFTEEN)
"""CoOp's eleven and ImageNet's variants: what "all" means where sets are checked."""

SHOWN = ", ".join((*FIFTEEN, *(one.name for one in FGVC), "vtab-dtd or another task of VTAB"))
"""The named sets where an error lists them."""

ELEVEN = FIFTEEN[:11]
"""What "all" means: the sets of base-to-novel and few-shot."""

VARIANTS = FIFTEEN[11:]
"""ImageNet's, of the domain protocol: for testing alone."""
