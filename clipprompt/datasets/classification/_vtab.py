"""The nineteen tasks of VTAB-1k: 800 pictures to learn from, 200 to select by, the whole test split to test on.

Zhai et al. 2019, arXiv 1910.04867; classes and sizes as in Jia et al. 2022, arXiv 2203.12119, Table 8. Folders are
those of the decoded pictures that later papers pass on, ``vtab-1k/cifar`` and so on.
"""

from __future__ import annotations

from clipprompt.datasets.classification._specification import Specification, by_part

_TASKS = {
    "natural": (
        ("vtab-cifar100", "CIFAR-100", "cifar", 100, 10_000),
        ("vtab-caltech101", "Caltech101", "caltech101", 102, 6084),
        ("vtab-dtd", "DTD", "dtd", 47, 1880),
        ("vtab-flowers102", "Flowers102", "oxford_flowers102", 102, 6149),
        ("vtab-pets", "Pets", "oxford_iiit_pet", 37, 3669),
        ("vtab-svhn", "SVHN", "svhn", 10, 26_032),
        ("vtab-sun397", "Sun397", "sun397", 397, 21_750),
    ),
    "specialized": (
        ("vtab-patch-camelyon", "Patch Camelyon", "patch_camelyon", 2, 32_768),
        ("vtab-eurosat", "EuroSAT", "eurosat", 10, 5400),
        ("vtab-resisc45", "Resisc45", "resisc45", 45, 6300),
        ("vtab-retinopathy", "Retinopathy", "diabetic_retinopathy", 5, 42_670),
    ),
    "structured": (
        ("vtab-clevr-count", "Clevr/count", "clevr_count", 8, 15_000),
        ("vtab-clevr-distance", "Clevr/distance", "clevr_dist", 6, 15_000),
        ("vtab-dmlab", "DMLab", "dmlab", 6, 22_735),
        ("vtab-kitti-distance", "KITTI/distance", "kitti", 4, 711),
        ("vtab-dsprites-location", "dSprites/location", "dsprites_loc", 16, 73_728),
        ("vtab-dsprites-orientation", "dSprites/orientation", "dsprites_ori", 16, 73_728),
        ("vtab-smallnorb-azimuth", "SmallNORB/azimuth", "smallnorb_azi", 18, 12_150),
        ("vtab-smallnorb-elevation", "SmallNORB/elevation", "smallnorb_ele", 9, 12_150),
    ),
}
"""By group: name, title, folder, classes, pictures to test on."""

VTAB = tuple(
    Specification(
        name=name,
        title=f"VTAB {title}",
        folder=f"vtab-1k/{folder}",
        images=".",
        reader="vtab_lists",
        n_classes=n_classes,
        sizes=by_part(800, 200, n_test),
        marks=("train800.txt",),
        archive="vtab-1k.zip",
        repository="XiN0919/VTAB-1k",
        group=group,
    )
    for group, tasks in _TASKS.items()
    for name, title, folder, n_classes, n_test in tasks
)
"""In the order of the study's tables."""
