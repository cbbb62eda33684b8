# SPDX-License-Identifier: Apache-2.0
"""Reactions with a known atom mapping: common building blocks joined by RDKit.

RDKit applies a reaction template and tells, for every product atom, which reactant atom it was.
That is the truth which the model's attention is compared with.
"""

import random

from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem

BLOCKS = {
    "acid": """CC(=O)O OC(=O)c1ccccc1 OC(=O)c1ccc(Cl)cc1 OC(=O)c1ccc(OC)cc1 OC(=O)Cc1ccccc1
        OC(=O)c1cccnc1 OC(=O)C1CCCCC1 OC(=O)c1cc(F)ccc1Br OC(=O)/C=C/c1ccccc1 CC(C)(C)C(=O)O
        OC(=O)c1ccc2[nH]ccc2c1 OC(=O)C1CCN(C(=O)OC(C)(C)C)CC1 OC(=O)c1csc(C)n1
        OC(=O)CCc1ccc(C(F)(F)F)cc1 OC(=O)c1ccc(S(C)(=O)=O)cc1 OC(=O)C(Cc1ccccc1)NC(=O)OC(C)(C)C""",
    "amine": """NCc1ccccc1 Nc1ccccc1 C1CCNCC1 C1COCCN1 NC1CCCCC1 CCNCC Nc1ccc(F)cc1 NCCc1ccc(OC)cc1
        CN1CCNCC1 NCc1cccnc1 Nc1cccc(C(F)(F)F)c1 NC(C)c1ccccc1 CC(C)(C)OC(=O)N1CCNCC1
        COC(=O)C(N)Cc1ccccc1 NCCN1CCOCC1 Nc1ccc2ncccc2c1""",
    "alcohol": """OCc1ccccc1 CO CCO CC(C)O OCCc1ccccc1 OC1CCCCC1 OCC(F)(F)F OCc1ccncc1 OCCOC
        OCc1ccc(Br)cc1 OCCN1CCOCC1 OCC1CCN(C(=O)OC(C)(C)C)CC1""",
    "boronic": """OB(O)c1ccccc1 OB(O)c1ccc(OC)cc1 OB(O)c1cccnc1 OB(O)c1ccc(F)cc1 OB(O)c1ccsc1
        OB(O)c1ccc(C#N)cc1 OB(O)c1cccc(C(=O)OC)c1 CC1(C)OB(c2cnn(C)c2)OC1(C)C
        CC1(C)OB(c2ccc(Cl)cc2)OC1(C)C OB(O)c1ccc2ccccc2c1""",
    "halide": """Brc1ccccc1 Brc1ccc(C(=O)OC)cc1 Ic1ccc(C)cc1 Brc1cccnc1 Brc1ccc([N+](=O)[O-])cc1
        Brc1ncccn1 Ic1ccc(OC)cc1 Brc1ccc2[nH]ccc2c1 Brc1cc(F)cc(C(F)(F)F)c1 Brc1csc(C(C)=O)c1
        Brc1cnc(N)nc1 Brc1ccc(N2CCOCC2)cc1""",
    "aldehyde": """O=Cc1ccccc1 O=Cc1ccc(OC)cc1 O=Cc1ccncc1 CC(C)C=O O=Cc1ccc(Br)cc1 O=Cc1ccco1
        O=Cc1cc(OC)c(OC)c(OC)c1 O=CC1CCCCC1 O=Cc1cccc(C#N)c1""",
    "bromide": """BrCc1ccccc1 BrCCC BrCC(=O)OCC BrCc1ccc(C#N)cc1 BrCCOC BrCc1cccc(F)c1
        ClCc1ccncc1 BrCCCN1C(=O)c2ccccc2C1=O""",
}

# Kinds of the two reactants, template, and what is written beside them as reagents.
REACTIONS = [
    ("acid", "amine", "[C:1](=[O:2])[OH].[NX3;!H0;!$(NC=O):3]>>[C:1](=[O:2])[N:3]",
     ["CN(C)C=O", "CCN=C=NCCCN(C)C.CN(C)C=O", "CCN(C(C)C)C(C)C.CN(C)C=O"]),
    ("acid", "alcohol", "[C:1](=[O:2])[OH].[OX2H;!$(OC=O):3][C:4]>>[C:1](=[O:2])[O:3][C:4]",
     ["O=S(=O)(O)O", "CN(C)c1ccncc1.ClCCl"]),
    ("boronic", "halide", "[c:1]B([O])[O].[c:2][Br,I]>>[c:1]-[c:2]",
     ["O=C([O-])[O-].[K+].[K+].C1COCCO1.O", "O=C([O-])[O-].[Na+].[Na+].Cc1ccccc1"]),
    ("aldehyde", "amine", "[CX3H1:1]=[O].[NX3;!H0;!$(NC=O);!$(Nc):2]>>[C:1][N:2]",
     ["[BH3-]C#N.[Na+].CO", "CC(=O)O[BH-](OC(C)=O)OC(C)=O.[Na+].ClCCl"]),
    ("bromide", "amine", "[CX4H2:1][Br,Cl].[NX3;!H0;!$(NC=O):2]>>[C:1][N:2]",
     ["O=C([O-])[O-].[K+].[K+].CC#N", "CCN(CC)CC.C1CCOC1"]),
    ("bromide", "alcohol", "[CX4H2:1][Br,Cl].[OX2H;!$(OC=O):2][C:3]>>[C:1][O:2][C:3]",
     ["[H-].[Na+].CN(C)C=O", "O=C([O-])[O-].[Cs+].[Cs+].CN(C)C=O"]),
]


def _written(mol):
    """Canonical SMILES, and the atoms in the order in which it writes them."""
    text = Chem.MolToSmiles(mol)
    return text, list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])


def _classes(mol):
    """A number per atom; atoms that symmetry makes the same share it."""
    return list(Chem.CanonicalRankAtoms(mol, breakTies=False))


def _source(atom):
    """(reactant, atom) that a product atom was."""
    return atom.GetIntProp("react_idx"), atom.GetIntProp("react_atom_idx")


def _one(template, first, second, reagents, chooser):
    reactants = [Chem.MolFromSmiles(first), Chem.MolFromSmiles(second)]
    products = AllChem.ReactionFromSmarts(template).RunReactants(reactants)
    if not products:
        return None
    product = products[0][0]
    sources = [_source(atom) for atom in product.GetAtoms()]
    Chem.SanitizeMol(product)
    order = [0, 1]
    chooser.shuffle(order)
    texts, atoms = [], []  # atoms: (reactant, atom) in the order of the text
    for which in order:
        text, written = _written(reactants[which])
        texts.append(text)
        atoms += [(which, i) for i in written]
    product_text, written = _written(product)
    symmetry = [_classes(mol) for mol in reactants]
    product_classes = _classes(product)
    allowed = {}  # class of a product atom -> classes of reactant atoms that are right
    for index, (which, atom) in enumerate(sources):
        allowed.setdefault(product_classes[index], set()).add((which, symmetry[which][atom]))
    return {"text": ".".join(texts) + "." + reagents + ">>" + product_text,
            "reactant_classes": [(which, symmetry[which][i]) for which, i in atoms],
            "product_allowed": [allowed[product_classes[i]] for i in written]}


def reactions(count, seed=0):
    """`count` different reactions as dicts: text (SMILES), reactant_classes (of the atoms of both
    reactants as written), product_allowed (for each product atom as written, which of those)."""
    RDLogger.DisableLog("rdApp.*")
    chooser = random.Random(seed)
    found = {}
    while len(found) < count:
        first, second, template, reagents = chooser.choice(REACTIONS)
        item = _one(template, chooser.choice(BLOCKS[first].split()),
                    chooser.choice(BLOCKS[second].split()), chooser.choice(reagents), chooser)
        if item is not None:
            found.setdefault(item["text"], item)
    return list(found.values())
