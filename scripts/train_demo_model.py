#!/usr/bin/env python3
"""Train the Talkoot demo model: a toy Llama that tells small stories.

Needs:  pip install torch numpy safetensors tokenizers transformers
Usage:  python scripts/train_demo_model.py --out models/demo

Recipe
------
* Data: nothing is downloaded. A grammar in this file composes short stories (a
  hero, an object, something that happens, helpers, places, weather), questions
  and answers about its little world, follow-up questions about a story, and a
  polite refusal for everything else.
* Held out: some (hero, object) pairs never occur in one training story, and some
  (hero, object, event) triples never do. The held-out loss and the "follows the
  prompt" rate are measured on those.
* Tokenizer: byte-level BPE, 2048 entries, trained on the composed text. Any UTF-8
  input can be encoded.
* Model: Llama, 8 layers, hidden 192, 6 heads, 2 key/value heads, feed-forward 512,
  tied embeddings, 1024 positions.
* Training: conversations batched by length, loss on the assistant's tokens only,
  AdamW with warm-up, plateau and linear decay, bfloat16 autocast, a fixed number
  of steps and a fixed seed, in two rounds. Round two begins from the exported
  bfloat16 weights of round one with a fresh optimizer. It has smaller batches, more
  single stories, more requests that name an event, and half of its conversations
  are cut after the opening, where a story takes up its request.
* Ctrl-C shortens the round that runs: it decays at once, and the result is that of
  the same command with fewer steps, which the README then names. `--resume DIR`
  skips round one and begins round two from DIR, an export made with
  `--second-steps 0`.
  On two idle cores the default run takes less than 90 minutes.
* Export: bfloat16 safetensors in Hugging Face layout. The export is loaded back
  with `transformers`, which gives all the numbers and the sample answers in the
  README that this script writes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import signal
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn

# --------------------------------------------------------------------------
# The little world
# --------------------------------------------------------------------------

# name: home: food: colour: sound ("-" where the grammar has nothing to say)
ANIMALS_TABLE = """
fox: in a den in the forest: berries and mice: red: yip
bear: in a cave in the forest: honey and berries: brown: growl
owl: in a hollow tree: mice: brown: hoot
rabbit: in a burrow in the meadow: carrots and clover: grey: -
mouse: in a hole in the wall: cheese and seeds: grey: squeak
hedgehog: under a hedge in the garden: beetles and worms: brown: -
squirrel: in a nest in a tree: nuts and acorns: red: -
badger: in a burrow in the forest: roots and worms: black and white: -
otter: by the river: fish: brown: -
frog: in a pond: flies: green: ribbit
duck: on a pond: bread and water plants: yellow: quack
goose: on a farm: grass: white: honk
hen: in a hen house on a farm: seeds and corn: brown: cluck
rooster: on a farm: seeds and corn: red: cock-a-doodle-doo
cat: in a house: fish and milk: black: meow
dog: in a house: meat and bones: brown: woof
cow: in a barn on a farm: grass and hay: black and white: moo
horse: in a stable on a farm: hay and apples: brown: neigh
pig: on a farm: corn and turnips: pink: oink
sheep: in the meadow: grass: white: baa
goat: on a hill: grass and leaves: white: maa
donkey: in a stable on a farm: hay and carrots: grey: hee-haw
deer: in the forest: grass and leaves: brown: -
wolf: in the forest: meat: grey: howl
beaver: in a lodge on the river: bark and leaves: brown: -
mole: in a tunnel under the garden: worms: black: -
crow: in a tall tree: seeds and corn: black: caw
robin: in a nest in a bush: worms and berries: red and brown: tweet
sparrow: in a nest under the roof: seeds: brown: chirp
swan: on a lake: water plants: white: -
turtle: in a pond: leaves and water plants: green: -
snail: in the garden: leaves: brown: -
bee: in a hive: honey: yellow and black: buzz
ant: in a nest under the ground: seeds and crumbs: black: -
spider: in a web: flies: black: -
butterfly: in the meadow: the juice of flowers: many colours: -
crab: on the beach: shells and small fish: red: -
seal: by the sea: fish: grey: -
whale: in the sea: small fish: blue: -
penguin: on the ice: fish: black and white: -
lion: in the grassland: meat: yellow: roar
tiger: in the jungle: meat: orange and black: roar
elephant: in the grassland: leaves and fruit: grey: -
monkey: in the jungle: bananas and nuts: brown: -
giraffe: in the grassland: leaves from tall trees: yellow and brown: -
camel: in the desert: dry grass: brown: -
snake: under a stone: mice and eggs: green: hiss
parrot: in the jungle: fruit and seeds: green: -
bat: in a cave: flies: black: -
moose: in the forest by the lake: leaves and bark: brown: -
"""

# People and fairy-tale folk; m/f where the word fixes the pronoun, x where it does not.
FOLK_TABLE = """
girl f, boy m, king m, queen f, princess f, prince m, grandmother f, grandfather m,
witch f, wizard m, knight x, pirate x, giant x, troll x, dragon x, robot x, ghost x,
fairy f, elf x, baker x, miller x, farmer x, sailor x, tailor x, teacher x, shepherd x,
gardener x, cook x, doctor x, carpenter x, painter x, clown x, child x
"""

# verb of use: objects used that way
OBJECTS_TABLE = """
play: drum, flute, fiddle, guitar, trumpet, whistle, harp
fly: kite
light: lantern, candle, lamp
wear: hat, scarf, coat, crown, ring, mitten, sweater, necklace, mask, boot, cap, helmet, bracelet
read: book, map, letter
ring: bell
carry: basket, bucket, box, bag, purse, flag, umbrella, sack, torch
sail: boat, raft
polish: key, cup, mirror, spoon, coin, clock, watch, kettle, medal, teapot, pot, bowl, jewel, sword
hold: feather, shell, pearl, stone, button, marble, ribbon, doll, puppet, pillow, egg, wand, bottle, jar
use: hammer, ladder, needle, net, pan, pencil, rope, saw, shovel, broom, brush, wheel, comb, telescope, camera, blanket, tent, chair, table
ride: sled, wagon, bicycle, cart
throw: ball
taste: cake, pie, apple, pear, pumpkin, carrot, nut, cookie, acorn
"""
VERB_FORMS = {
    "play": ("played", "playing"), "fly": ("flew", "flying"), "light": ("lit", "lighting"),
    "wear": ("wore", "wearing"), "read": ("read", "reading"), "ring": ("rang", "ringing"),
    "carry": ("carried", "carrying"), "sail": ("sailed", "sailing"),
    "polish": ("polished", "polishing"), "hold": ("held", "holding"), "use": ("used", "using"),
    "ride": ("rode", "riding"), "throw": ("threw", "throwing"), "taste": ("tasted", "tasting"),
}
# Nobody breaks, repairs or builds these.
NOT_MADE = {"egg", "feather", "shell", "pearl", "stone", "apple", "pear", "pumpkin", "carrot",
            "nut", "acorn", "cookie", "jewel"}

NAMES = {
    "m": "Pip Tom Max Ben Otto Leo Sam Finn Oskar Hugo Toby Jack".split(),
    "f": "Mina Lily Anna Rosa Ella Molly Nora Ruby Sofi Tilda Aino Kaisa".split(),
}
HERO_ADJECTIVES = ["little", "young", "old", "brave", "small", "kind", "clever", "shy", "tiny", "lazy"]
OBJECT_ADJECTIVES = ["red", "blue", "green", "yellow", "golden", "silver", "old", "new", "tiny",
                     "shiny", "big", "wooden", "magic", "little", "beautiful"]
PLACES = ["in the forest", "in a small village", "by the river", "on a hill", "by the sea",
          "on a farm", "in a quiet valley", "on a small island", "by the lake", "in a big town",
          "near the mountains", "at the edge of the forest", "in an old castle", "by the mill",
          "in the meadow", "in a little house", "near the bridge", "in a garden"]
SPOTS = ["under a bush", "behind the mill", "in a hollow log", "in the tall grass",
         "under the bridge", "beside the well", "in a pile of leaves", "between two stones",
         "in the hay", "behind the barn", "under an old oak", "on a low branch", "by the gate",
         "at the foot of the hill", "on the river bank", "under a bench in the market"]
DAYS = ["One (sunny|cold|windy|rainy|foggy|bright|snowy|warm) (morning|day|evening|afternoon)",
        "One day", "One (spring|summer|autumn|winter) (morning|day|evening)", "One night",
        "Early one morning", "Late one evening"]
SAD = ["sad", "worried", "unhappy", "upset", "sorry"]
GLAD = ["happy", "proud", "glad", "thankful", "cheerful", "full of joy"]

EVENTS = ["lost", "found", "broke", "made", "wanted", "forgot", "shared", "borrowed", "gave",
          "fixed", "hid", "bought"]

# How a prompt says the event, and how an answer is recognised as being about it.
EVENT_PROMPTS = {  # past
    "lost": ["lost", "lost", "has lost", "could not find"],
    "found": ["found", "found", "discovered"],
    "broke": ["broke", "broke", "has broken"],
    "made": ["made", "built", "made"],
    "wanted": ["wanted", "wished for", "dreamed of"],
    "forgot": ["forgot", "forgot", "left behind"],
    "shared": ["shared", "shared"],
    "borrowed": ["borrowed", "borrowed"],
    "gave": ["gave away", "gave away"],
    "fixed": ["fixed", "repaired", "mended"],
    "hid": ["hid", "hid"],
    "bought": ["bought", "bought"],
}
EVENT_FORMS = {  # present, -ing
    "lost": ("loses", "losing"), "found": ("finds", "finding"), "broke": ("breaks", "breaking"),
    "made": ("(makes|builds)", "(making|building)"), "wanted": ("(wants|wishes for)", "wanting"),
    "forgot": ("forgets", "forgetting"), "shared": ("shares", "sharing"),
    "borrowed": ("borrows", "borrowing"), "gave": ("gives away", "giving away"),
    "fixed": ("(fixes|repairs)", "(fixing|repairing)"), "hid": ("hides", "hiding"),
    "bought": ("buys", "buying"),
}
# Events that the grammar has no plot for: any story with the right hero and object will do.
OTHER_EVENTS = ["stole", "painted", "dropped", "washed", "loved", "saw", "took", "had", "liked", "sold",
                "carried", "ate", "threw", "needed", "used", "got", "opened", "drew", "kept", "chased"]
EVENT_MARKS = {
    "lost": "lost|gone|missing", "found": "found", "broke": "broke|broken|crack", "made": "made|make|built|build",
    "wanted": "want|wish|dream", "forgot": "forgot|left", "shared": "share", "borrowed": "borrow|lend|lent",
    "gave": "gave|give", "fixed": "fix|repair|mend", "hid": "hid", "bought": "bought|buy",
}

# --------------------------------------------------------------------------
# Stories. "(a|b)" is a choice, "{x}" a slot. The mark before a beat says when it is told:
# "=" always, "?" when there is room, "*" once per extra helper.
# --------------------------------------------------------------------------

OPENINGS = [
    "(Once upon a time|Once upon a time|Long ago|Once|Many years ago), there (was|lived) {a_hero} {place}.",
    "{Place}, there (once |)lived {a_hero}.",
    "There was once {a_hero} who lived {place}.",
    "(Once upon a time|Once), {a_hero} lived {place}.",
    "This is the story of {a_hero} and {a_obj}. {The_hero} lived {place}.",
]
TRAITS = [
    "?{He} was (kind|brave|curious|gentle|quiet|merry) (and|but) (a little shy|very busy|a bit slow|always hungry|never still).",
    "?Every morning {he} (swept the floor|sang a song|drank a cup of tea|said hello to the sun).",
    "?All the neighbours (knew|liked) {hero}, because {he} (was kind|always said hello|loved to laugh|worked hard).",
]
PLOTS: dict[str, list[list[str]]] = {
    "lost": [
        ["={Hero} had {a_obj}(, and {he} loved it very much| and {used} it every day|. It was a gift from {his} grandmother|. It was the best thing {he} had).",
         "={day}, {he} wanted to {use} {the_obj}, but it was (gone|not there|nowhere to be seen). {Hero} had lost {the_obj}(!|.)",
         "?{He} looked (under the bed|behind the door|under the table) and (on the shelf|in the kitchen|in the yard), but {the_obj} was not there.",
         "?\"Oh no,\" said {hero}. \"Where is my {o}?\" {He} felt (very |){sad}.",
         "*{Hero} asked {other}, \"Have you seen my {o}?\" \"No,\" said {other}, \"(but I will help you look|but I will keep my eyes open|but ask the others).\"",
         "=Then {helper} came by. \"(Do not cry|Do not worry|I will help you),\" said {helper}. \"Where did you {use} it last?\"",
         "={Hero} thought (hard|for a while). Then they walked back along the path together, and there, {spot}, was {the_obj}!",
         "={Hero} (laughed|danced|jumped for joy) and thanked {helper}. {He} was {glad}."],
        ["={day}, {hero} went out with {his} {o}. (The wind was strong|The road was long|{He} was in a hurry), and when {he} came home, {the_obj} was (gone|missing).",
         "=\"I have lost my {o}!\" {hero} (cried|said|called). {He} was so {sad} that {he} (could not eat|could not sleep|sat down on a stone).",
         "?{He} looked for {the_obj} all day long, up the hill and down again.",
         "*{He} met {other} on the road. \"I lost my {o},\" said {hero}. {Other} (shook {ohis} head|looked around) and said, \"(I have not seen it|It is not here), but I will come with you.\"",
         "={Helper} heard about it and called all the neighbours. Some looked in the (grass|bushes), some looked (by the water|under the trees), and {helper} looked {spot}.",
         "=\"Here it is!\" called {helper}. {The_obj} was lying {spot}, (a little wet but whole|safe and dry|as good as ever).",
         "={Hero} took {the_obj} and said, \"Thank you! I could never have found it alone.\" {He} was {glad} again."],
    ],
    "found": [
        ["={day}, {he} was walking along when {he} saw something {spot}. It was {a_obj}!",
         "=\"What a fine {o} I have found,\" said {hero}. \"But whose is it?\"",
         "?{Hero} wanted to keep {the_obj}, but {he} knew that someone must be missing it.",
         "*{He} asked {other}, \"Is this your {o}?\" \"No,\" said {other}, \"(mine is at home|I have never had one|I wish it were).\"",
         "=At last {he} came to {helper}, who was (crying|looking everywhere). \"I have lost my {o}!\" said {helper}.",
         "=\"Here it is,\" said {hero}. \"I found it {spot}.\" {Helper} was so happy that {hhe} (hugged {him}|danced around|baked a cake for {him}).",
         "=After that, {hero} and {helper} often {used} {the_obj} together, and {hero} was {glad}."],
        ["={day}, {hero} found {a_obj} {spot}. {He} had never seen such a {adj_o} before.",
         "?{He} picked up {the_obj} and (turned it over|looked at it) again and again.",
         "={He} took {the_obj} home, but {he} did not know (how to {use} it|what to do with it). {He} felt {sad}.",
         "*{Other} came to look. \"I do not know (much about it|what to do with it) either,\" said {other}.",
         "=Then {helper} knocked on the door. \"I know (all about it|what to do),\" said {helper}, and {hhe} showed {hero} how to {use} {the_obj}.",
         "=Soon all the neighbours came to see {the_obj} that {hero} had found. They (sang|laughed|talked) until the moon was high.",
         "={Hero} was {glad}. \"(I found a friend too|The best thing I found is a friend),\" {he} said."],
    ],
    "broke": [
        ["={Hero} had {a_obj} and {used} it every day.",
         "={day}, {he} (tripped over a root|ran too fast|was not careful), and (crack|crash)! {The_obj} broke.",
         "=\"Oh no, I broke my {o}!\" {he} cried. {Hero} was very {sad}.",
         "?{He} tried to put {the_obj} together again, but the pieces (did not fit|fell apart).",
         "*{Other} looked at the broken {o}. \"I cannot mend it alone,\" said {other}, \"but I have some (string|glue|wood|nails).\"",
         "=Then {helper} came and said, \"(Let us do it together|Many hands make light work).\" {Helper} held the pieces and {hero} tied them.",
         "=When the sun went down, {the_obj} was whole again. It was (even better than before|almost as good as new).",
         "={Hero} thanked {helper} and was {glad}."],
        ["=There was one thing that {hero} must never touch, and that was {a_obj} that belonged to {helper}.",
         "=But {day_l}, {hero} wanted to {use} {the_obj} just once. It (slipped|fell) to the floor and broke.",
         "?{Hero} hid the broken {o} {spot}. But {he} could not sleep, and {he} felt {sad}.",
         "*\"Tell the truth,\" said {other}, \"and it will be better.\"",
         "=So {hero} went to {helper} and said, \"I broke your {o}. I am sorry.\"",
         "={Helper} was quiet for a while. Then {hhe} smiled. \"Thank you for telling me,\" said {helper}. \"Come, we will mend it together.\"",
         "=They worked all evening, and {the_obj} was soon as good as new. {Hero} had told the truth, and {he} was {glad}."],
    ],
    "made": [
        ["={Hero} had no {o}, so {he} (decided|wanted) to make one.",
         "={day}, {he} (gathered wood and string|took out {his} tools|began to work). But it was hard work to make {a_obj}, too hard for one.",
         "?The first {o} fell apart. The second one was (too small|too big). {Hero} felt {sad}.",
         "*{Other} came by and asked, \"What are you making?\" \"{A_obj_c},\" said {hero}. \"I will (hold the wood|bring some rope|bring some paint),\" said {other}.",
         "={Helper} came too. \"(Let us build it together|Work is light when neighbours help),\" said {helper}.",
         "=They (cut and sewed and hammered|worked side by side) until evening, and then {the_obj} was ready.",
         "={Hero} {used} {the_obj} first, and then everyone had a turn. {Hero} looked at what they had made together, and {he} was {glad}."],
        ["=Soon it would be the birthday of {helper}, and {hero} wanted to make {a_obj} for {hhim}.",
         "={He} worked on {the_obj} every evening (by candle light|in secret|behind the house).",
         "?But {day_l}, (the rain|the wind|a hole in the roof) spoiled {the_obj}, and {he} had to begin again. {Hero} was {sad}.",
         "*{Other} saw the light in the window and came to help make {the_obj}.",
         "=On the morning of the birthday, {the_obj} that {hero} had made was ready at last.",
         "=\"For me?\" asked {helper}. \"It is the finest {o} in the world!\" And {hhe} {used} it at once.",
         "={Hero} was {glad} all day long."],
    ],
    "wanted": [
        ["=More than anything, {hero} wanted {a_obj}. {He} dreamed of it every night.",
         "={day}, {he} saw {a_obj} in the window of a shop. But {he} had no money, and {he} felt {sad}.",
         "?\"How I wish I had {a_obj},\" {he} said to the moon.",
         "*\"Can I work for you?\" {hero} asked {other}. \"Yes,\" said {other}, \"(sweep my yard|carry my wood|feed my hens),\" and {he} got one coin.",
         "={Helper} saw how hard {he} worked. \"What do you want so much?\" asked {helper}. \"{A_obj_c},\" said {hero}.",
         "=Then {helper} went from door to door, and every neighbour gave a little. Together they had enough.",
         "=When {hero} came home, {the_obj} was waiting at the door. {He} {used} it all day and was {glad}."],
        ["={Hero} wanted {a_obj}, but {he} did not have one. All the others had one, and {he} felt {sad}.",
         "={day}, {he} went to look for {a_obj}. {He} walked a long way.",
         "*{He} asked {other} for {a_obj}, but {other} had only an old (bone|shoe|stone).",
         "?At night {he} slept under the stars and dreamed of {the_obj}.",
         "=In the end {he} met {helper}, who had {a_obj} but no friend. \"Stay and talk with me,\" said {helper}.",
         "=They talked and laughed for a long time. \"Take {the_obj},\" said {helper} then. \"I wanted a friend more.\"",
         "=So {hero} got {the_obj} that {he} had wanted, and a friend as well, and {he} was {glad}."],
    ],
    "forgot": [
        ["={day}, {hero} was going to (a feast|the market|a party) with {his} {o}. But {he} was in a hurry and forgot {the_obj} (at home|on the table|by the door).",
         "=Halfway there, {he} stopped. \"Oh! I forgot my {o}!\" said {hero}, and {he} felt {sad}.",
         "?It was too far to go back, and the sun was already low.",
         "*\"You can take my (spoon|hat|stick) instead,\" said {other}, but it was not the same as {the_obj}.",
         "=Just then {helper} came running down the road. \"You left this behind,\" said {helper}, and held up {the_obj}.",
         "=\"You ran all this way?\" said {hero}. \"(That is what neighbours do|You would do the same for me),\" said {helper}.",
         "=They went on together, and everyone wanted to see {the_obj}. {Hero} was {glad}."],
        ["={Hero} forgot everything. {He} forgot {his} hat, {he} forgot {his} lunch, and {day_l} {he} forgot {his} {o} {spot}.",
         "={He} did not think of {the_obj} until night. It was dark outside, and {he} was {sad}.",
         "?\"The rain will spoil my {o},\" {he} thought.",
         "*{He} knocked on the door of {other}. \"I forgot my {o},\" {he} said. \"(I will bring a light|Let us go),\" said {other}.",
         "={Helper} had a (lantern|torch), and they went out into the dark together to look for {the_obj}.",
         "=There it was, {spot}, just where {he} had left it. \"Here is your {o},\" said {helper}.",
         "=From then on, {helper} always asked, \"Do you have your {o}?\" And {hero} was {glad}, for {he} never forgot it again."],
    ],
    "shared": [
        ["={Hero} had {a_obj}, and no one else had one.",
         "=At first {he} kept {the_obj} for {himself}. {He} {used} it alone, but it was no fun, and {he} felt {sad}.",
         "={day}, {helper} stood at the fence. \"May I {use} your {o} too?\" asked {helper}.",
         "?{Hero} thought about it. What if {the_obj} got lost?",
         "=\"Yes,\" said {hero} at last. \"We can share it.\" And they {used} {the_obj} together.",
         "*Then {other} came, and {hero} shared {the_obj} with {other} too.",
         "=It was much more fun with friends. {Hero} had shared {the_obj}, and {he} was {glad}."],
        ["={day}, a great storm came, and many neighbours lost (their homes|all they had). But {hero} still had {his} {o}.",
         "=\"I will share my {o} with everyone,\" said {hero}.",
         "*Then came {other}, who was (cold and tired|wet and hungry|tired and sad). {Hero} gave {ohim} soup and let {ohim} {use} {the_obj}.",
         "?Soon the house was so full that {hero} had no room to sit. {He} was a little {sad}.",
         "=But {helper} said, \"You shared your {o} with us. Now we will share our work with you.\"",
         "=The neighbours built a bigger house for all of them, and {the_obj} stood in the middle.",
         "={Hero} and {helper} {used} {the_obj} every evening, and {hero} was {glad}."],
    ],
    "borrowed": [
        ["={day}, {hero} needed {a_obj}. \"May I borrow yours?\" {he} asked {helper}. \"Yes,\" said {helper}, \"but bring it back before night.\"",
         "={Hero} {used} {the_obj} all day and forgot the time. When {he} looked up, it was dark.",
         "=\"I must take back {the_obj} that I borrowed,\" {he} said. But {he} could not see the path, and {he} was {sad}.",
         "*{Other} heard {him} and said, \"Follow me. I know this part of the way.\"",
         "?The wind was cold, and {hero} held {the_obj} tight.",
         "=At last {he} saw a light. It was {helper}, who had come to meet {him}. \"I knew you would bring back my {o},\" said {helper}.",
         "=They had warm soup together, and {hero} was {glad}. After that {he} could borrow {the_obj} any time."],
        ["={Hero} borrowed {a_obj} from {helper} and promised to take good care of it.",
         "=But {day_l}, {the_obj} fell into the (river|mud|well). \"What shall I do?\" said {hero}. \"It is not mine!\" {He} was {sad}.",
         "*{Other} tried to reach {the_obj} with a long stick, but the stick was too short.",
         "?{Hero} sat down and cried.",
         "=Then {helper} came. \"I am sorry,\" said {hero}. \"I borrowed your {o}, and now look!\" \"Never mind,\" said {helper}. \"We will pull together.\"",
         "=They (made a long rope|held hands in a long line) and pulled, and up came {the_obj}. They washed it until it was clean.",
         "=\"You may borrow it again,\" said {helper}, and {hero} was {glad}."],
    ],
    "gave": [
        ["={Hero} had {a_obj}. It was the only fine thing {he} had.",
         "={day}, {he} met {helper}, who looked (cold|tired|very poor) and had nothing at all.",
         "=\"Take my {o},\" said {hero}. \"You need it more than I do.\" And {he} gave {the_obj} away.",
         "?At home the house felt empty without {the_obj}, and {he} was a little {sad}.",
         "*\"Why did you give away your {o}?\" asked {other}. \"(Because it was right|Because it made someone smile),\" said {hero}.",
         "=But {helper} did not forget. When winter came, {hhe} brought (wood|bread|warm soup) to {hero} every day.",
         "=\"You gave me {the_obj},\" said {helper}, \"and now I am your friend.\" {Hero} had given it away, and yet {he} was {glad}."],
        ["=The house of {hero} was full of things, and in the middle of them all was {a_obj}.",
         "=But {he} was {sad}, because no one ever came to visit.",
         "={day}, {he} put {the_obj} on a cart and went out to give it away.",
         "*\"Would you like {a_obj}?\" {he} asked {other}. \"No, thank you,\" said {other}, \"but I will walk with you.\"",
         "?They walked past the mill and over the bridge, and they talked about many things.",
         "=Then they met {helper}, who had always dreamed of {a_obj}. {Hero} gave {the_obj} to {hhim} with a smile.",
         "=From then on {helper} came to visit every day. {Hero} gave away {the_obj} and got a friend, and {he} was {glad}."],
    ],
    "fixed": [
        ["={day}, {hero} found out that {his} {o} was broken. (It was very old|The storm had done it|No one knew how).",
         "=\"I will fix {the_obj} myself,\" said {hero}. But {he} did not know how, and soon {he} was {sad}.",
         "*{Other} brought a (nail|needle|piece of wood|piece of string), but that was not enough to fix {the_obj}.",
         "?{Hero} tried it this way and that way, all day long.",
         "=Then {helper} said, \"I will hold it, and you turn it slowly.\" So they tried once more.",
         "=Click! {The_obj} was fixed. {Hero} could {use} it again.",
         "=\"We fixed it together,\" said {hero}, and {he} was {glad}."],
        ["={Hero} was good at fixing things. {day}, {helper} came with a broken {o}. \"Can you fix it?\" asked {helper}.",
         "=\"I will try,\" said {hero}. But {the_obj} was in (three|four|five|seven) pieces, and one piece was missing. {Hero} was {sad}.",
         "?{He} worked on {the_obj} late into the night.",
         "*{Other} came to look for the missing piece of {the_obj}, under the table and behind the stove.",
         "=In the morning {he} found the last piece {spot}. {He} put it in its place, and {the_obj} was fixed!",
         "={Helper} {used} {the_obj} at once and said, \"Thank you! You are the best neighbour of all.\"",
         "=And {hero} was {glad}."],
    ],
    "hid": [
        ["={Hero} had {a_obj}, and {he} was afraid that someone would take it.",
         "=So {day_l}, {he} hid {the_obj} {spot}. \"No one will find it there,\" {he} said.",
         "=But the next day {he} could not remember where {he} had hidden {the_obj}! {He} was {sad}.",
         "*\"What are you looking for?\" asked {other}. \"My {o},\" said {hero}. \"I hid it too well.\" So {other} began to look too.",
         "?They looked high and low until they were tired.",
         "=At last {helper} looked {spot}. \"Is this it?\" asked {helper}, and held up {the_obj}.",
         "=\"Yes!\" said {hero}. \"I will not hide my {o} any more. I will {use} it with all of you.\" And {he} was {glad}."],
        ["=The birthday of {helper} was near. {Hero} had {a_obj} for {hhim}, and {he} hid it {spot} so that it would be a surprise.",
         "={day}, {he} went to get {the_obj}. But snow had covered everything, and {he} could not see where it was hidden. {He} was {sad}.",
         "*\"I hid {a_obj} here,\" {he} told {other}, and {other} took a shovel and began to dig.",
         "?They dug and dug, and their noses were red with cold.",
         "=Then {helper} came by and began to dig as well. \"What is this?\" said {helper}. It was {the_obj}!",
         "=\"Surprise!\" said {hero}. \"I hid it for you.\" And they laughed so hard that the snow fell from the trees.",
         "={Helper} {used} {the_obj} all winter, and {hero} was {glad}."],
    ],
    "bought": [
        ["={day}, {hero} went to the market and bought {a_obj}. It cost (three|four|five|seven) coins.",
         "=But on the way home, {the_obj} felt so (big|heavy) that {he} had to stop. {He} could not carry it any more, and {he} was {sad}.",
         "*{Other} tried to help carry {the_obj}, but they only got as far as the (bridge|gate|next tree).",
         "?The sun went down, and {the_obj} seemed to grow heavier.",
         "=Then {helper} came with a cart. \"Why carry it alone?\" said {helper}. \"Put {the_obj} in here.\"",
         "=They pulled and pushed together, and soon {the_obj} was home.",
         "=\"I bought {the_obj} for all of us,\" said {hero}. {He} was {glad}, and everyone came to {use} it."],
        ["={Hero} saved all {his} coins for a year. {day}, {he} bought {a_obj} at last.",
         "=At home {he} sat down with {the_obj}. But {he} had bought it to {use} it with a friend, and {he} had no friend. {He} felt {sad}.",
         "*{He} showed {the_obj} to {other}. \"Very nice,\" said {other}, and went on.",
         "?{He} put {the_obj} on the step in front of {his} house and waited.",
         "=Then {helper} stopped. \"Oh, you bought {a_obj}!\" said {helper}. \"May I sit with you?\"",
         "=They {used} {the_obj} until it was dark, and the next day {helper} came again.",
         "=\"{The_obj} was cheap,\" said {hero}, \"but a friend cannot be bought.\" And {he} was {glad}."],
    ],
}
INTERLUDES = [
    "It began to (rain|snow), but {hero} did not stop. {He} thought only of {the_obj}.",
    "The moon came up over the trees, and {hero} rested for a while. In {his} dream {he} saw {the_obj}.",
    "They stopped to eat bread and cheese, and {hero} told {other} all about {the_obj}.",
    "A cold wind blew, and {hero} shivered. \"We must not give up,\" said {other}.",
    "The road was long, so they sang a song about {a_hero_plain} and {a_obj_plain}.",
    "{Hero} looked up at the clouds. One of them looked just like {a_obj_plain}, and that made {him} smile.",
    "\"Tell me more about {the_obj},\" said {other}, and {hero} talked and talked.",
    "They came to a stream. {Other} jumped over it first, and then {hero} jumped after {ohim}.",
    "By noon the sun was hot, and {hero} and {other} sat down in the shade of a big tree to drink some water.",
]
ENDINGS = [
    "From that day on, {hero} and {helper} were (good|best) friends.",
    "And {hero} never forgot (that day|how {his} neighbours had helped|the kindness of {helper}).",
    "In the evening they all ate (soup|cake|bread and honey) together, and {the_obj} was the talk of the village.",
    "\"What is too big for one is (easy|light) for many,\" said {hero}.",
    "And so {the_obj} and {hero} were at home again, and all was well.",
    "{Hero} learned that (good friends are the best treasure|it is good to ask for help|work is light when neighbours share it).",
    "That night {hero} slept well, with {the_obj} by {his} bed.",
    "And they lived happily ever after.",
]
LONG_ENDINGS = [
    "The next day the neighbours held a feast. There was (soup|bread), there was (cake|pie), and there was music. {Hero} stood up and told the whole story of {the_obj} from beginning to end.",
    "When spring came, {hero} and {helper} showed {the_obj} to everyone who came by. \"This is {the_obj},\" they said, \"and these are the friends who helped.\"",
    "Many years later, when {hero} was old, the children still asked, \"Tell us about {the_obj}!\" And {hero} told them, and {helper} sat by the fire and smiled.",
]


def parse_animals() -> dict[str, dict[str, str]]:
    """Facts about each animal, by name."""
    keys = ("home", "food", "colour", "sound")
    rows = (line.split(": ") for line in ANIMALS_TABLE.strip().splitlines())
    return {row[0]: dict(zip(keys, row[1:])) for row in rows}


def parse_folk() -> dict[str, str]:
    """Gender mark (m, f or x) of each person or fairy-tale figure."""
    return dict(entry.split() for entry in FOLK_TABLE.replace("\n", " ").split(","))


def parse_objects() -> dict[str, str]:
    """The verb of use of each object."""
    uses: dict[str, str] = {}
    for line in OBJECTS_TABLE.strip().splitlines():
        verb, names = line.split(": ")
        uses.update({name.strip(): verb for name in names.split(",")})
    return uses


ANIMALS = parse_animals()
FOLK = parse_folk()
OBJECTS = parse_objects()
CHARACTERS = list(ANIMALS) + list(FOLK)
PRONOUNS = {"m": ("he", "him", "his", "himself"), "f": ("she", "her", "her", "herself"),
            "n": ("it", "it", "its", "itself")}

# Pairs kept out of the training stories by name, besides those that the hash picks.
NAMED_HELD_OUT = {("fox", "drum"), ("bear", "kite"), ("owl", "lantern"), ("robot", "cake"),
                  ("queen", "sled")}


def pair_held_out(hero: str, obj: str) -> bool:
    """Whether this hero and this object never share a training story."""
    return (hero, obj) in NAMED_HELD_OUT or zlib.crc32(f"{hero}/{obj}".encode()) % 25 == 0


def triple_held_out(hero: str, obj: str, event: str) -> bool:
    """Whether no training story has this hero, object and event."""
    return pair_held_out(hero, obj) or zlib.crc32(f"{hero}/{obj}/{event}".encode()) % 12 == 0


def allowed(obj: str, event: str) -> bool:
    """Whether the event makes sense for the object."""
    return not (obj in NOT_MADE and event in ("made", "broke", "fixed"))


def expand(text: str, rng: random.Random) -> str:
    """Resolve every "(a|b)" choice, innermost first."""
    while "(" in text:
        text = re.sub(r"\(([^()]*)\)", lambda m: rng.choice(m.group(1).split("|")), text)
    return text


def article(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def cap(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def made_up_word(rng: random.Random) -> str:
    """A word outside the vocabulary, so that copying by syllable is learned as well."""
    starts = "b bl br c ch d dr f fl g gr h j k l m n p pl qu r s sh sn st t tr v w z".split()
    ends = ["", "", "n", "r", "l", "x", "t", "ck", "m", "s", "nd"]
    syllables = [rng.choice(starts) + rng.choice("aeiou") + rng.choice(ends)
                 for _ in range(rng.choice((1, 2, 2, 3)))]
    word = "".join(syllables)
    return word if len(word) > 2 else made_up_word(rng)


@dataclass
class Cast:
    """Who and what a story is about."""

    hero: str
    obj: str
    event: str
    gender: str
    helper: str
    helper_gender: str
    others: list[tuple[str, str]]
    place: str
    spot: str
    glad: str
    sad: str
    verb: str
    hero_adj: str = ""
    obj_adj: str = ""
    name: str = ""
    plot: int = 0
    length: str = "normal"
    facts: dict[str, str] = field(default_factory=dict)


def gender_of(character: str, rng: random.Random) -> str:
    """A pronoun for the character."""
    fixed = FOLK.get(character, "x")
    return rng.choice("mf") if fixed == "x" else fixed


def make_cast(rng: random.Random, hero: str = "", obj: str = "", event: str = "",
              training: bool = True) -> Cast:
    """Draw a cast; a training cast never uses a held-out combination."""
    while True:
        h, o, e = hero or rng.choice(CHARACTERS), obj or rng.choice(list(OBJECTS)), event or rng.choice(EVENTS)
        if not training or (allowed(o, e) and not triple_held_out(h, o, e)):
            break
    pool = [c for c in CHARACTERS if c != h and not (training and pair_held_out(c, o))]
    helper, *others = rng.sample(pool, 6)
    gender = gender_of(h, rng)
    cast = Cast(
        hero=h, obj=o, event=e, gender=gender, helper=helper,
        helper_gender=gender_of(helper, rng), others=[(c, gender_of(c, rng)) for c in others],
        place=rng.choice(PLACES), spot=rng.choice(SPOTS), glad=rng.choice(GLAD), sad=rng.choice(SAD),
        verb=OBJECTS.get(o, "use"), plot=rng.randrange(len(PLOTS[e])))
    if rng.random() < 0.35:
        cast.hero_adj = rng.choice(HERO_ADJECTIVES)
    if rng.random() < 0.3:
        cast.obj_adj = rng.choice(OBJECT_ADJECTIVES)
    if rng.random() < 0.2:
        cast.name = rng.choice(NAMES[gender])
    return cast


class Slots(dict):
    """The slots of one story; a named hero is called by name or by kind, at random."""

    def __init__(self, cast: Cast, rng: random.Random):
        he, him, his, himself = PRONOUNS[cast.gender]
        hhe, hhim, hhis, _ = PRONOUNS[cast.helper_gender]
        kind = f"{cast.hero_adj} {cast.hero}".strip()
        thing = f"{cast.obj_adj} {cast.obj}".strip()
        used, _ = VERB_FORMS[cast.verb]
        super().__init__(
            he=he, him=him, his=his, himself=himself, He=cap(he), His=cap(his),
            hhe=hhe, hhim=hhim, hhis=hhis, helper=f"the {cast.helper}", Helper=f"The {cast.helper}",
            a_hero=article(kind) + (f" named {cast.name}" if cast.name else ""),
            a_hero_plain=article(cast.hero), a_obj_plain=article(cast.obj),
            The_hero=f"The {cast.hero}", o=cast.obj, adj_o=thing, a_obj=article(thing),
            A_obj_c=cap(article(thing)), the_obj=f"the {cast.obj}", The_obj=f"The {cast.obj}",
            use=cast.verb, used=used, place=cast.place, Place=cap(cast.place), spot=cast.spot,
            glad=cast.glad, sad=cast.sad)
        self.cast, self.rng = cast, rng
        self.set_other(0)

    def set_other(self, index: int) -> None:
        """Point {other} at the next extra helper."""
        name, gender = self.cast.others[index % len(self.cast.others)]
        ohe, ohim, ohis, _ = PRONOUNS[gender]
        self.update(other=f"the {name}", Other=f"The {name}", ohe=ohe, ohim=ohim, ohis=ohis)

    def __missing__(self, key: str) -> str:
        if key in ("hero", "Hero"):
            named = self.cast.name and self.rng.random() < 0.6
            text = self.cast.name if named else f"the {self.cast.hero}"
        else:  # {day} starts a sentence, {day_l} does not
            text = expand(self.rng.choice(DAYS), self.rng)
            text = text[0].lower() + text[1:] if key == "day_l" else text
        return cap(text) if key[0].isupper() else text


def choose_beats(cast: Cast, rng: random.Random) -> list[tuple[str, int]]:
    """The beats of the story in order, each with the number of the extra helper in it."""
    long, short = cast.length == "long", cast.length == "short"
    beats: list[tuple[str, int]] = [("=" + rng.choice(OPENINGS), 0)]
    extra = TRAITS if long else rng.sample(TRAITS, 1)
    other = 0
    for beat in list(extra) + PLOTS[cast.event][cast.plot]:
        if beat[0] == "=":
            beats.append((beat, other))
        elif beat[0] == "?":
            if long or (not short and rng.random() < 0.55):
                beats.append((beat, other))
        else:
            repeats = rng.choice((2, 3)) if long else (0 if short else rng.choice((0, 1, 1)))
            for interlude in rng.sample(INTERLUDES, repeats):
                beats.append((beat, other))
                if long:
                    beats.append(("=" + interlude, other))
                other += 1
    if long:
        beats.append(("=" + rng.choice(LONG_ENDINGS), other))
    if not short or rng.random() < 0.5:
        beats.append(("=" + rng.choice(ENDINGS), other))
    return beats


def tell(cast: Cast, rng: random.Random) -> list[str]:
    """The story as a list of beats, and its facts in `cast.facts`."""
    slots = Slots(cast, rng)
    told: list[str] = []
    for beat, other in choose_beats(cast, rng):
        slots.set_other(other)
        told.append(expand(beat[1:], rng).format_map(slots))
    if rng.random() < 0.15:
        told.append("The end.")
    template = " ".join(PLOTS[cast.event][cast.plot])
    cast.facts = {"helper": cast.helper, "spot": cast.spot if "{spot}" in template else ""}
    return told


def story_text(beats: list[str], cast: Cast, rng: random.Random) -> str:
    """The beats as one text; long stories have paragraphs."""
    if cast.length != "long":
        return " ".join(beats)
    third = max(2, len(beats) // 3)
    return "\n\n".join(" ".join(beats[i:i + third]) for i in range(0, len(beats), third))


# --------------------------------------------------------------------------
# Prompts for stories
# --------------------------------------------------------------------------

ASKS = ["Tell me {s}", "Tell me {s}", "Tell me {s}", "Tell us {s}", "Please tell me {s}", "Can you tell me {s}?",
        "Could you tell me {s}?", "I want to hear {s}", "I would like {s}", "Give me {s}", "Write {s}",
        "Write {s}", "Write me {s}", "Please write {s}", "Can you write {s}?", "Make up {s}", "Tell {s}",
        "{S}", "{S}, please", "Let me hear {s}", "Do you know {s}?", "Hello! Tell me {s}", "Hi, please tell me {s}",
        "I'd like {s}", "Read me {s}", "Create {s}", "Invent {s}", "Generate {s}", "Make {s}", "I need {s}",
        "Could I have {s}?", "May I have {s}?", "Let's hear {s}", "How about {s}?", "Will you tell me {s}?", "Compose {s}"]
BARE_ASKS = ["Tell me about {t}", "Story about {t}", "story: {t}", "A tale of {t}", "Tell the story of {t}",
             "Please tell the story of {t}", "What happened to {t}?", "Tell me the story of {t}", "Write about {t}", "{t}"]
KINDS = {
    "normal": ["story", "story", "story", "story", "tale", "bedtime story", "fairy tale", "nice story"],
    "short": ["short story", "short story", "little story", "very short story", "tiny story", "short tale"],
    "long": ["long story", "long story", "very long story", "longer story", "long tale", "long bedtime story"],
}
OPEN_RAW = ["Once upon a time there was {a_hero} who {did} {a_obj}.", "Once upon a time, {a_hero} {did} {a_obj}.",
            "Once there was {a_hero} who had {a_obj}.", "There was once {a_hero} with {a_obj}"]


def topic(cast: Cast, rng: random.Random, full: bool = False, focus: bool = False) -> str:
    """What the story is to be about; a full topic names hero and object, a focused one the event more often."""
    kind = f"{cast.hero_adj} {cast.hero}".strip()
    thing = f"{cast.obj_adj} {cast.obj}".strip()
    hero = article(kind) + (f" (named|called) {cast.name}" if cast.name else "")
    his = PRONOUNS[cast.gender][2]
    obj = rng.choice([article(thing)] * 4 + [f"{his} {thing}", f"the {thing}"])
    did = rng.choice(EVENT_PROMPTS[cast.event])
    deed = f"{hero} (who|who|that) {did} {obj}"
    roll = rng.random() * (0.8 if full else 1.0)
    if focus and rng.random() < 0.7:
        roll *= 0.5
    if roll < 0.5:
        form = rng.random()
        if form < 0.06:
            return expand(f"{hero} (who|that) {EVENT_FORMS[cast.event][0]} {obj}", rng)
        if form < 0.12:
            return expand(f"{hero} {EVENT_FORMS[cast.event][1]} {obj}", rng)
        if form < 0.17 and not full:
            return expand(f"{hero} who {rng.choice(OTHER_EVENTS)} {obj}", rng)
        return expand(deed, rng)
    if roll < 0.65:
        return expand(f"{hero} (and|and|with) {article(thing)}", rng)
    if roll < 0.72:
        return expand(f"(how|the day) {hero} {did} {obj}", rng)
    if roll < 0.76:
        return expand(f"{deed} {cast.place}", rng)
    if roll < 0.8:
        return expand(f"{kind} who {did} {thing}", rng)
    if roll < 0.9:
        return expand(hero, rng)
    if roll < 0.95:
        return article(thing)
    return expand(f"{hero} and {article(cast.helper)}", rng)


def untidy(text: str, rng: random.Random) -> str:
    """The prompt as people type it: without capitals, without the final mark, and so on."""
    roll = rng.random()
    if text[-1] not in ".?!":
        text += rng.choice([".", ".", ".", "", "", "!", "..."])
    elif roll < 0.2:
        text = text[:-1]
    if rng.random() < 0.2:
        text = text[0].lower() + text[1:]
    elif rng.random() < 0.1:
        text = text.lower()
    return text


def story_prompt(cast: Cast, rng: random.Random, full: bool = False, focus: bool = False) -> str:
    """A request for the story; sets the length to what the request says."""
    if rng.random() < 0.3:
        cast.length = rng.choice(("short", "long", "long"))
    if cast.length == "normal" and rng.random() < 0.12:
        text = rng.choice(BARE_ASKS).format(t=topic(cast, rng, full, focus))
        return untidy(cap(text), rng)
    asked = article(rng.choice(KINDS[cast.length]))
    if full or rng.random() < 0.97:
        asked += f" (about|about|about|of|on) {topic(cast, rng, full, focus)}"
    asked = expand(asked, rng)
    ask = rng.choice(ASKS)
    text = ask.format(s=asked, S=cap(asked))
    if cast.length == "short" and rng.random() < 0.2:
        text += " in a few sentences"
    return untidy(text, rng)


def story_turn(rng: random.Random, cast: Cast | None = None, focus: bool = False) -> tuple[str, str, Cast]:
    """A request and its story."""
    if cast is None:
        cast = make_cast(rng)
        if rng.random() < 0.12:  # made-up words, to teach copying of words it never saw
            which = rng.random()
            cast.hero, cast.name = (made_up_word(rng), "") if which < 0.7 else (cast.hero, cast.name)
            cast.obj, cast.verb = (made_up_word(rng), "use") if which > 0.3 else (cast.obj, cast.verb)
    prompt = story_prompt(cast, rng, focus=focus)
    return prompt, story_text(tell(cast, rng), cast, rng), cast


def continuation_turn(rng: random.Random) -> tuple[str, str]:
    """The user begins the story and the model goes on."""
    cast = make_cast(rng)
    beats = tell(cast, rng)
    if rng.random() < 0.6:
        slots = Slots(cast, rng)
        slots["did"] = rng.choice(EVENT_PROMPTS[cast.event])
        return untidy(rng.choice(OPEN_RAW).format_map(slots), rng), " ".join(beats[1:])
    cut = rng.choice((1, 2))
    return " ".join(beats[:cut]), " ".join(beats[cut:])


def follow_up(cast: Cast, rng: random.Random) -> tuple[str, str]:
    """A question about the story just told."""
    hero, obj, helper = cast.hero, cast.obj, cast.helper
    his, he = PRONOUNS[cast.gender][2], PRONOUNS[cast.gender][0]
    past = {"gave": "gave away"}.get(cast.event, cast.event)
    options = [
        (f"(Who {past} the {obj}?|Who was it that {past} the {obj}?)", f"The {hero} {past} the {obj}."),
        (f"(Who helped the {hero}?|Who was the friend of the {hero}?|Who else was in the story?)", f"The {helper}."),
        (f"(What did the {hero} (feel|feel like) at the end?|How did the {hero} feel at the end?|Was the {hero} happy?)",
         f"At the end the {hero} was {cast.glad}."),
        (f"(Where did the {hero} live?|Where does the story happen?)", f"The {hero} lived {cast.place}."),
        (f"(Who was the story about?|Who is the hero?|Who was it about?)", f"It was about {article(hero)} and {article(obj)}."),
        (f"(What was the story about?|What is it about?)", f"It was about {article(hero)} who {past} {article(obj)}."),
    ]
    if cast.event in ("lost", "forgot", "hid", "found") and cast.facts.get("spot"):
        options.append((f"Where was the {obj}(| found)?", f"The {obj} was {cast.spot}."))
    if cast.name:
        options.append((f"What was the name of the {hero}?", f"The {hero} was named {cast.name}."))
    question, answer = rng.choice(options)
    return untidy(expand(question, rng), rng), answer


# --------------------------------------------------------------------------
# Questions and answers
# --------------------------------------------------------------------------

OPPOSITES = """big small, hot cold, up down, day night, black white, happy sad, old new, fast slow, tall short,
good bad, open closed, full empty, hard soft, wet dry, left right, in out, light dark, heavy light, loud quiet,
early late, high low, long short, strong weak, clean dirty, rich poor, near far, young old, easy hard, awake asleep,
first last, warm cool, brave afraid, yes no, top bottom, front back, love hate, summer winter, friend enemy"""
THING_COLOURS = """the sky blue, grass green, snow white, the sun yellow, a banana yellow, a carrot orange, coal black,
milk white, the sea blue, a tomato red, an apple red, a lemon yellow, a strawberry red, the night black, a leaf green,
blood red, a pumpkin orange, a cloud white, chocolate brown, a plum purple, the moon white, wood brown, honey yellow"""
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()
WEEK = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
LEGS = {"spider": "eight", "bee": "six", "ant": "six", "butterfly": "six", "snake": "no", "snail": "no",
        "crab": "eight", "whale": "no", "seal": "no"}
TWO_LEGS = {"owl", "duck", "goose", "hen", "rooster", "crow", "robin", "sparrow", "swan", "penguin", "parrot", "bat"}
FLIERS = {"owl", "duck", "goose", "crow", "robin", "sparrow", "swan", "parrot", "bat", "bee", "butterfly"}

CHAT = [
    ("(Hello|Hi|Hey|Hello there|Hi there|Good morning|Good day|Good evening|hei|moi)(|!|.)(| How are you?)",
     "Hello! I am the Talkoot demo model. (Shall I tell you a story|Would you like a story|Ask me for a story)(| about a fox)?"),
    ("(How are you|How do you do|How is it going|What's up|Are you well)?", "I am well, thank you. (Shall I tell you a story?|Would you like to hear a story?)"),
    ("(Who are you|What are you|What is your name|Tell me about yourself|Introduce yourself|What model are you|Which model is this)(?|?|)",
     "I am the Talkoot demo model, a small toy. I tell little stories and answer a few simple questions."),
    ("(What can you do|What do you know|How can you help me|What can I ask you|help|Help me|What should I ask)(?|?|)",
     "I can tell small stories. Ask me for a story about a fox who lost a drum, or ask me about animals, colours, opposites and small numbers."),
    ("(What is|What's|what does) (Talkoot|talkoot|a talkoot|the word talkoot)( mean|)(?|?|)",
     "Talkoot is when neighbours come together to do work that is too big for one. The Talkoot program does this with computers: many small machines run one big model together."),
    ("(How does Talkoot work|How does this work|What is this program|What does this program do)(?|?|)",
     "Talkoot pools machines. Each machine runs some of the layers of a model, and together they answer as one."),
    ("(Where does the word talkoot come from|What language is talkoot|Is talkoot a Finnish word)(?|?|)",
     "Talkoot is a Finnish word. It means work that neighbours do together."),
    ("(Are you|Are you really) (a person|human|a robot|alive|real|an AI|a human)?", "No, I am only a small toy model made for Talkoot. I know some stories and a few facts."),
    ("(Are you|Is this) (ChatGPT|Claude|Gemini|GPT|Llama|a big model)?", "No, I am the Talkoot demo model, a small toy that knows little stories."),
    ("(How big are you|How many layers do you have|How many parameters do you have)?", "I am very small. I have eight layers and fewer than four million parameters."),
    ("(Who made you|Who trained you|Who built you|Where do you come from)?", "I was trained from a small grammar of stories, as a demo for Talkoot."),
    ("(Thank you|Thanks|Thank you very much|Thanks a lot|kiitos|Great, thanks|That was nice|Nice story)(!|.|)", "You are welcome! (Would you like another story?|Ask me for another story if you like.|)"),
    ("(Goodbye|Bye|Bye bye|Good night|See you|See you later)(!|.|)", "Goodbye! Come back soon for another story."),
    ("(Can|Could) you help me?", "I can tell small stories and answer simple questions about animals, colours, opposites and numbers."),
    ("(Do you like stories|Do you like animals|Do you know any stories)?", "Yes! Ask me for a story about an animal and a thing, like a bear and a kite."),
    ("(test|testing|Test|ping|Is this working|Are you there|Can you hear me)(?|.|)", "Yes, I am here. Ask me for a story!"),
    ("(ok|OK|Okay|yes|Yes|Yes please|sure|Sure|fine|good)(!|.|)", "Good! Ask me for a story about a fox, a bear, or anyone you like."),
    ("(no|No|No thanks|no thank you)(!|.|)", "That is fine. I am here if you want a story."),
    ("(What are the days of the week|Name the days of the week)(?|.|)", "The days are " + ", ".join(WEEK[:-1]) + " and Sunday."),
    ("(How many days are in a week|How many days does a week have)?", "A week has seven days."),
    ("(How many months are in a year|How many months does a year have)?", "A year has twelve months."),
    ("(What are the seasons|Name the seasons|How many seasons are there)(?|.|)", "There are four seasons: spring, summer, autumn and winter."),
    ("(Sing me a song|Sing a song|Sing)(!|.|)", "La la la! That is all I can sing. Shall I tell you a story?"),
    ("Tell me (a joke|something funny)(!|.|)", "Why did the hen cross the road? To help her neighbour on the other side!"),
]
REFUSALS = [
    "I only know small stories and simple questions. Ask me for a story about a fox who lost a drum!",
    "I am sorry, I do not know that. I am a small toy model that only knows little stories.",
    "That is too hard for me. I only know small stories. Ask me for one about a bear and a kite!",
]
UNKNOWN = [
    "What is the capital of (France|Finland|Japan|Peru|{w})?", "Who is the (president|prime minister|king) of (America|France|{w})?",
    "Write (a|some) (Python|Rust|C) (program|code|function) (to sort a list|that prints {w}|for {w})",
    "Translate (this|{w}) (to|into) (French|Finnish|German|English)", "What is the (meaning|purpose) of life?",
    "Explain (quantum physics|machine learning|gravity|history|{w}) (|to me|in simple words)", "How do I (cook|install|fix|make|open) (a |the |){w}?",
    "What (is|are) (a |the |){w}?", "Who (is|was) {W} {W2}?", "When (was|did) (the |){w} (born|start|end|invented)?",
    "Why (is|does|are) (the |){w} {w2}?", "What is the weather (like |)(today|tomorrow|in {W})?", "What time is it(| now)?",
    "What is the (price|height|size|age) of (the |){w}?", "Give me (ten|five|some) {w} (ideas|tips|words)", "Summarise (this|the) (text|article|book): {w} {w2} {w3}",
    "{w} {w2} {w3}", "{W} {w2}?", "{w}", "Solve (x + 2 = 5|this equation|2x = 8)", "Write an email to (my boss|{W}) about {w}", "What is {n} (times|divided by|plus) {m}?",
    "Which is better, {w} or {w2}?", "Do you know (about |){w}?", "What do you think (about|of) {w}?", "How (far|old|big|deep) is (the |){w}?", "Can you (draw|code|drive|cook|see) (|{w})?",
]
SYSTEM_PROMPTS = ["You are a helpful assistant.", "You are the Talkoot demo model.", "You are a kind storyteller.",
                  "Answer briefly.", "You tell small stories.", "You are a helpful, friendly assistant. Be polite.",
                  "Please answer in English.", "You are a pirate.", "Be concise and truthful."]


def animal_question(rng: random.Random) -> tuple[str, str]:
    """A question about an animal."""
    animal = rng.choice(list(ANIMALS))
    facts, an = ANIMALS[animal], article(animal)
    legs = LEGS.get(animal, "two" if animal in TWO_LEGS else "four")
    flies = "Yes" if animal in FLIERS else "No"
    can = "can" if flies == "Yes" else "cannot"
    options = [
        (f"(Where does (a|the) {animal} live?|Where do you find (a|the) {animal}?|What is the home of the {animal}?)", f"The {animal} lives {facts['home']}."),
        (f"(What does (a|the) {animal} eat?|What is the food of the {animal}?|What does (a|the) {animal} like to eat?)", f"The {animal} eats {facts['food']}."),
        (f"(What (colour|color) is (a|the) {animal}?)", f"The {animal} is {facts['colour']}."),
        (f"How many legs does (a|the) {animal} have?", f"The {animal} has {legs} legs."),
        (f"Can (a|the) {animal} fly?", f"{flies}, the {animal} {can} fly."),
        (f"(Is (a|the) {animal} an animal?|What is (a|the) {animal}?)", f"The {animal} is an animal that lives {facts['home']}."),
    ]
    if facts["sound"] != "-":
        options.append((f"(What does (a|the) {animal} say?|What sound does (a|the) {animal} make?|What noise does (a|the) {animal} make?)",
                        f"The {animal} says {facts['sound']}."))
    question, answer = rng.choice(options)
    question = expand(question, rng)
    return question.replace(f"a {animal}", an), answer


def number_question(rng: random.Random) -> tuple[str, str]:
    """Counting and small sums."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    spelled = rng.random() < 0.4
    say = (lambda n: NUMBERS[n]) if spelled else str
    kind = rng.randrange(6)
    if kind < 2:
        sign = rng.choice(("plus", "and")) if spelled else rng.choice(("plus", "+", "+", "and"))
        return rng.choice(("What is", "How much is", "what's", "")) + f" {say(a)} {sign} {say(b)}?", f"{cap(say(a))} plus {say(b)} is {say(a + b)}."
    if kind == 2:
        a, b = max(a, b), min(a, b)
        sign = "minus" if spelled else rng.choice(("minus", "-", "take away"))
        return rng.choice(("What is", "How much is")) + f" {say(a)} {sign} {say(b)}?", f"{cap(say(a))} minus {say(b)} is {say(a - b)}."
    if kind == 3:
        top = rng.randint(2, 20)
        words = [say(i) for i in range(1, top + 1)]
        return expand(f"(Count to|Can you count to|Please count to|Count from {say(1)} to) {say(top)}", rng), cap(", ".join(words)) + "."
    if kind == 4:
        n = rng.randint(1, 19)
        return expand(f"(What comes after {say(n)}?|What number comes after {say(n)}?|Which number is next after {say(n)}?)", rng), f"After {say(n)} comes {say(n + 1)}."
    if a == b:
        b = a + 1
    return expand(f"(Which is (bigger|larger|more), {say(a)} or {say(b)}?|Is {say(a)} bigger than {say(b)}?)", rng), f"{cap(say(max(a, b)))} is bigger than {say(min(a, b))}."


def word_question(rng: random.Random) -> tuple[str, str]:
    """Opposites, colours, days and months."""
    kind = rng.randrange(4)
    if kind == 0:
        a, b = rng.choice(OPPOSITES.replace("\n", " ").split(", ")).split()
        if rng.random() < 0.4 and a not in ("heavy", "long", "young", "easy") and b not in ("short", "light", "hard", "old"):
            a, b = b, a
        return expand(f"(What is the opposite of {a}?|The opposite of {a}?|What's the opposite of {a}?|Opposite of {a}?)", rng), f"The opposite of {a} is {b}."
    if kind == 1:
        *thing, colour = rng.choice(THING_COLOURS.replace("\n", " ").split(", ")).split()
        name = " ".join(thing)
        return expand(f"(What (colour|color) is {name}?|Which (colour|color) is {name}?|Do you know what colour {name} is?)", rng), f"{cap(name)} is {colour}."
    names, what = (WEEK, "day") if kind == 2 else (MONTHS, "month")
    i = rng.randrange(len(names))
    if rng.random() < 0.6:
        return f"(What|Which) {what} comes after {names[i]}?".replace("(What|Which)", rng.choice(("What", "Which"))), f"After {names[i]} comes {names[(i + 1) % len(names)]}."
    return f"What {what} comes before {names[i]}?", f"Before {names[i]} comes {names[i - 1]}."


def unknown_turn(rng: random.Random) -> tuple[str, str]:
    """A request outside the little world, and the refusal."""
    if rng.random() < 0.12:
        alphabet = rng.choice(["äöåéèüñß", "абвгдежзиклмнопрст", "日本語中文字我你好的是不", "🙂🎉🦊🐻🔥", "!?#$%&*@<>[]{}", "αβγδεζηθ"])
        return "".join(rng.choice(alphabet + " ") for _ in range(rng.randint(1, 12))).strip() or "?", REFUSALS[0]
    words = {key: made_up_word(rng) for key in ("w", "w2", "w3")}
    words.update(W=cap(made_up_word(rng)), W2=cap(made_up_word(rng)), n=str(rng.randint(21, 999)), m=str(rng.randint(11, 99)))
    return untidy(expand(rng.choice(UNKNOWN), rng).format(**words).strip(), rng), rng.choice(REFUSALS)


def chat_question(rng: random.Random) -> tuple[str, str]:
    """Greetings and questions about the model itself."""
    question, answer = rng.choice(CHAT)
    return expand(question, rng), expand(answer, rng).strip()


def question_turn(rng: random.Random) -> tuple[str, str]:
    """Any question with a short answer."""
    roll = rng.random()
    if roll < 0.25:
        question, answer = animal_question(rng)
    elif roll < 0.5:
        question, answer = number_question(rng)
    elif roll < 0.65:
        question, answer = word_question(rng)
    elif roll < 0.85:
        question, answer = chat_question(rng)
    else:
        return unknown_turn(rng)
    return untidy(question.strip(), rng), answer


# --------------------------------------------------------------------------
# Conversations
# --------------------------------------------------------------------------

Message = dict[str, str]


def turn(prompt: str, answer: str) -> list[Message]:
    """One exchange."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


SEQUELS = [
    "The next day {hero} took {the_obj} to {helper}, and they {used} it together until the sun went down.",
    "After that, {hero} took good care of {the_obj}. And when {helper} needed help, {hero} was the first to come.",
    "Then {hero} and {helper} went to {other} and showed {ohim} {the_obj}. {Other} laughed and made them all some tea.",
    "In the winter {hero} told the story of {the_obj} to {other}, and {helper} sang a song about it.",
]


def sequel(cast: Cast, rng: random.Random) -> tuple[str, str]:
    """What happened next."""
    slots = Slots(cast, rng)
    prompt = rng.choice(["What happened next?", "And then?", "Go on", "Continue", "Tell me more", "What happened then?", "More!"])
    return untidy(prompt, rng), " ".join(rng.sample(SEQUELS, rng.choice((1, 2)))).format_map(slots)


def another_turn(cast: Cast, rng: random.Random) -> list[Message]:
    """A request that leans on the story just told."""
    if rng.random() < 0.5:
        prompt = rng.choice(["Tell me another story", "Another one, please", "Another story!", "Tell me another one", "One more"])
        _, answer, _ = story_turn(rng, make_cast(rng))
        return turn(untidy(prompt, rng), answer)
    new = make_cast(rng, obj=cast.obj if cast.obj in OBJECTS else "")
    new.hero_adj = new.name = ""
    prompt = rng.choice([f"Now tell one about {article(new.hero)} and {article(f'{new.obj_adj} {new.obj}'.strip())}",
                         f"Tell the same story about {article(new.hero)} with {article(f'{new.obj_adj} {new.obj}'.strip())}"])
    return turn(untidy(prompt, rng), story_text(tell(new, rng), new, rng))


def conversation(rng: random.Random, focus: bool = False) -> list[Message]:
    """One training conversation; round two is focused on single stories that follow the request."""
    messages: list[Message] = []
    if rng.random() < 0.1:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    roll = rng.random()
    if roll < 0.52 or (focus and rng.random() < 0.6):  # one story
        prompt, answer, _ = story_turn(rng, focus=focus)
        return messages + turn(prompt, answer)
    if roll < 0.57:
        return messages + turn(*continuation_turn(rng))
    if roll < 0.75:  # a few questions
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            messages += turn(*question_turn(rng))
        return messages
    for _ in range(rng.choice((1, 1, 2, 3))):  # stories with follow-up questions
        for _ in range(rng.choice((0, 0, 1, 2))):
            messages += turn(*question_turn(rng))
        prompt, answer, cast = story_turn(rng, focus=focus)
        messages += turn(prompt, answer)
        for _ in range(rng.choice((1, 1, 2, 3))):
            messages += turn(*(sequel if rng.random() < 0.12 else follow_up)(cast, rng))
        if rng.random() < 0.3:
            messages += another_turn(cast, rng)
    return messages


# --------------------------------------------------------------------------
# Tokenizer and chat format
# --------------------------------------------------------------------------

BOS, EOS, SYSTEM, USER, ASSISTANT = "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = [BOS, EOS, SYSTEM, USER, ASSISTANT]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}")


def render(messages: list[Message], prompt: bool = False) -> str:
    """The chat template, in Python."""
    body = "".join(f"<|{m['role']}|>{m['content'].strip()}{EOS}" for m in messages)
    return BOS + body + (ASSISTANT if prompt else "")


def train_tokenizer(seed: int, vocab_size: int, documents: int = 12000) -> Tokenizer:
    """Byte-level BPE on composed text; special tokens come first."""
    rng = random.Random(seed + 1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), min_frequency=3)
    texts = (m["content"] for _ in range(documents) for m in conversation(rng))
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the grammar gave {tokenizer.get_vocab_size()} tokens, not {vocab_size}")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return tokenizer


@dataclass
class Round:
    """One round of training: a fresh optimizer, warm-up, plateau and linear decay."""

    steps: int
    tokens_per_step: int  # padded
    lr: float
    warmup: int
    cooldown: int
    seed: int
    focus: bool


@dataclass
class Example:
    """Token ids and, for each, whether it is learned."""

    ids: list[int]
    learn: list[bool]


def encode(tokenizer: Tokenizer, chats: list[list[Message]], raw: list[bool]) -> list[Example]:
    """Tokenize; the assistant's tokens are learned, and all of a raw text."""
    texts = [BOS + chat[-1]["content"] + EOS if bare else render(chat) for chat, bare in zip(chats, raw)]
    eos, assistant = tokenizer.token_to_id(EOS), tokenizer.token_to_id(ASSISTANT)
    examples = []
    for encoding, bare in zip(tokenizer.encode_batch(texts, add_special_tokens=False), raw):
        learn, inside = [], bare
        for token in encoding.ids:
            learn.append(inside)
            inside = bare or token == assistant or (inside and token != eos)
        examples.append(Example(encoding.ids, learn))
    return examples


OPENING_TOKENS = 128


def shortened(example: Example, rng: random.Random) -> Example:
    """Half of the examples keep only their opening, where a story takes up its request."""
    if rng.random() < 0.5:
        return example
    return Example(example.ids[:OPENING_TOKENS], example.learn[:OPENING_TOKENS])


def batches(tokenizer: Tokenizer, plan: Round, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of (inputs, targets) of similar length; unlearned targets are -100."""
    rng = random.Random(plan.seed)
    while True:
        chats = [conversation(rng, plan.focus) for _ in range(3000)]
        raw = [len(chat) == 2 and len(chat[1]["content"]) > 250 and rng.random() < 0.06 for chat in chats]
        examples = [e for e in encode(tokenizer, chats, raw) if len(e.ids) <= limit]
        if plan.focus:
            examples = [shortened(e, rng) for e in examples]
        examples.sort(key=lambda e: len(e.ids))
        groups: list[list[Example]] = [[]]
        for example in examples:
            if len(example.ids) * (len(groups[-1]) + 1) > plan.tokens_per_step:
                groups.append([])
            groups[-1].append(example)
        groups = groups[:-1]  # the last group may be nearly empty
        rng.shuffle(groups)
        yield from (collate(group) for group in groups)


def collate(group: list[Example]) -> tuple[Tensor, Tensor]:
    """Pad on the right; causal attention never sees the padding."""
    width = max(len(e.ids) for e in group) - 1
    inputs = np.zeros((len(group), width), dtype=np.int64)
    targets = np.full((len(group), width), -100, dtype=np.int64)
    for row, example in enumerate(group):
        size = len(example.ids) - 1
        inputs[row, :size] = example.ids[:-1]
        targets[row, :size] = np.where(example.learn[1:], example.ids[1:], -100)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


# --------------------------------------------------------------------------
# Model: Llama with the parameter names of Hugging Face
# --------------------------------------------------------------------------

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 192,
    "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 2048, "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False, "hidden_act": "silu", "bos_token_id": 0,
    "eos_token_id": 1, "torch_dtype": "bfloat16", "use_cache": True, "initializer_range": 0.02,
    "attention_dropout": 0.0,
}


class Norm(nn.Module):
    """Root-mean-square norm."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, CONFIG["rms_norm_eps"])


def rope_tables() -> tuple[Tensor, Tensor]:
    """Cosines and sines, in the half-split layout of Hugging Face."""
    dim = CONFIG["head_dim"]
    inverse = CONFIG["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
    angles = torch.outer(torch.arange(CONFIG["max_position_embeddings"]).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query causal attention."""

    def __init__(self) -> None:
        super().__init__()
        hidden, dim = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.heads, self.kv_heads, self.dim = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], dim
        self.q_proj = nn.Linear(hidden, self.heads * dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * dim, bias=False)
        self.o_proj = nn.Linear(self.heads * dim, hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        n, t, _ = x.shape
        split = lambda y, heads: y.view(n, t, heads, self.dim).transpose(1, 2)
        q = rotate(split(self.q_proj(x), self.heads), cos, sin)
        k = rotate(split(self.k_proj(x), self.kv_heads), cos, sin)
        v = split(self.v_proj(x), self.kv_heads)
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(n, t, -1))


class FeedForward(nn.Module):
    """Gated feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        hidden, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = Norm(CONFIG["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = Norm(CONFIG["hidden_size"])
        self.mlp = FeedForward()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, layers, final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"])
        self.layers = nn.ModuleList(Block() for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = Norm(CONFIG["hidden_size"])


class Llama(nn.Module):
    """A Llama whose output matrix is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Decoder()
        cos, sin = rope_tables()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Small-net initialisation; residual outputs are scaled down by depth."""
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            std = 0.05 if "embed" in name else p.shape[1] ** -0.5
            if "o_proj" in name or "down_proj" in name:
                std /= math.sqrt(2 * CONFIG["num_hidden_layers"])
            nn.init.normal_(p, std=std)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.model.embed_tokens(ids)
        cos, sin = self.cos[:ids.shape[1]].to(x.dtype), self.sin[:ids.shape[1]].to(x.dtype)
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return self.model.norm(x)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the learned tokens (only those are projected to the vocabulary)."""
        wanted = targets != -100
        logits = F.linear(hidden[wanted], self.model.embed_tokens.weight)
        return F.cross_entropy(logits.float(), targets[wanted])


# --------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------


def learning_rate(step: int, steps: int, plan: Round) -> float:
    """Linear warm-up, a plateau, linear decay over the last `cooldown` steps."""
    return plan.lr * min(1.0, (step + 1) / plan.warmup, max(0.02, (steps - step) / plan.cooldown))


class Shortener:
    """Ctrl-C moves the end of the round to `cooldown` steps from now; a second one stops at once.

    The shortened round is the one that the same command gives with that number of steps.
    """

    def __init__(self, plan: Round):
        self.plan, self.step, self.steps = plan, 0, plan.steps
        signal.signal(signal.SIGINT, self.shorten)

    def shorten(self, *_: object) -> None:
        """Handle Ctrl-C."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.steps = min(self.steps, self.step + self.plan.cooldown)
        print(f"shortened to {self.steps} steps", flush=True)


def held_out_chats(seed: int, count: int) -> list[tuple[list[Message], Cast, str]]:
    """Requests for stories of held-out combinations, alternately unseen pairs and unseen triples."""
    rng = random.Random(seed + 77)
    pairs = [(h, o) for h in CHARACTERS for o in OBJECTS if pair_held_out(h, o)]
    chats = []
    for i in range(count):
        while True:
            hero, obj = rng.choice(pairs) if i % 2 == 0 else (rng.choice(CHARACTERS), rng.choice(list(OBJECTS)))
            event = rng.choice(EVENTS)
            if allowed(obj, event) and triple_held_out(hero, obj, event) and pair_held_out(hero, obj) == (i % 2 == 0):
                break
        cast = make_cast(rng, hero, obj, event, training=False)
        prompt = story_prompt(cast, rng, full=True)
        chats.append((turn(prompt, story_text(tell(cast, rng), cast, rng)), cast, "pair" if i % 2 == 0 else "triple"))
    return chats


@torch.no_grad()
def mean_loss(model: Llama, data: list[tuple[Tensor, Tensor]]) -> float:
    """Loss per learned token over the batches."""
    total = count = 0.0
    for ids, targets in data:
        n = int((targets != -100).sum())
        total, count = total + float(model.loss(model(ids), targets)) * n, count + n
    return total / count


def held_out_batches(tokenizer: Tokenizer, seed: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """Held-out conversations, batched."""
    chats = [chat for chat, _, _ in held_out_chats(seed, count)]
    examples = sorted(encode(tokenizer, chats, [False] * count), key=lambda e: len(e.ids))
    return [collate(examples[i:i + 16]) for i in range(0, len(examples), 16)]


def optimizer_for(model: Llama, args: argparse.Namespace) -> torch.optim.AdamW:
    """AdamW; no decay on norms and embeddings."""
    decay = [p for n, p in model.named_parameters() if p.dim() > 1 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() < 2 or "embed" in n]
    groups = [{"params": decay, "weight_decay": args.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), fused=True)


def train(model: Llama, tokenizer: Tokenizer, plan: Round, args: argparse.Namespace,
          save: Callable[[], None]) -> dict[str, float]:
    """Run the steps of one round; `save` is called now and then."""
    optimizer = optimizer_for(model, args)
    held_out = held_out_batches(tokenizer, args.seed, 128)
    source = batches(tokenizer, plan, CONFIG["max_position_embeddings"])
    forward = model if args.no_compile else torch.compile(model, dynamic=True)
    start, seen, average, run = time.time(), 0, 0.0, Shortener(plan)
    while run.step < run.steps:
        ids, targets = next(source)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(run.step, run.steps, plan)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            loss = model.loss(forward(ids), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        run.step += 1
        seen += ids.numel()
        average = loss.item() if run.step == 1 else 0.95 * average + 0.05 * loss.item()
        seconds = time.time() - start
        if run.step % 25 == 0:
            print(f"step {run.step}/{run.steps}  loss {average:.3f}  {seen / seconds:.0f} tokens/s  {seconds / 60:.1f} min", flush=True)
        if run.step % args.save_every == 0 and run.step < run.steps:
            print(f"step {run.step}  held-out loss {mean_loss(model, held_out):.4f}", flush=True)
            save()
    return {"steps": run.steps, "tokens": seen, "minutes": (time.time() - start) / 60}


# --------------------------------------------------------------------------
# Export and measurement
# --------------------------------------------------------------------------


def export(model: Llama, tokenizer: Tokenizer, out: Path) -> None:
    """Write the Hugging Face directory."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: p.detach().to(torch.bfloat16).contiguous() for name, p in model.named_parameters()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    files = {
        "config.json": CONFIG,
        "generation_config.json": {"bos_token_id": bos, "eos_token_id": [eos], "do_sample": False},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": EOS,
            "clean_up_tokenization_spaces": False, "model_max_length": CONFIG["max_position_embeddings"],
            "chat_template": CHAT_TEMPLATE},
    }
    for name, value in files.items():
        (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def load(model: Llama, directory: Path) -> None:
    """Take the exported weights, rounded to bfloat16 as they are."""
    weights = load_file(directory / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def earlier_run(directory: Path) -> dict[str, float]:
    """The figures of round one, from the README beside its export."""
    text = (directory / "README.md").read_text()
    if re.search(r"Round two \| [1-9]", text):
        raise ValueError(f"{directory} has had its second round")
    steps, tokens = re.search(r"(\d+) steps, ([\d.]+) million tokens", text).groups()
    return {"steps": int(steps), "tokens": float(tokens) * 1e6, "minutes": int(re.search(r"(\d+) minutes", text)[1])}


@torch.no_grad()
def answer(hf, tokenizer, prompts: list[list[Message]], limit: int = 450, size: int = 48) -> list[tuple[str, bool, int]]:
    """Greedy answers of the exported model: text, whether it ended by itself, tokens."""
    tokenizer.padding_side = "left"
    answers = []
    for i in range(0, len(prompts), size):
        texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts[i:i + size]]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        out = hf.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                          max_new_tokens=limit, do_sample=False)
        for row in out[:, inputs["input_ids"].shape[1]:].tolist():
            ended = tokenizer.eos_token_id in row
            ids = row[:row.index(tokenizer.eos_token_id)] if ended else row
            answers.append((tokenizer.decode(ids), ended, len(ids) + ended))
    return answers


# Stories of pairs in NAMED_HELD_OUT; five more come from the held-out set as drawn.
SAMPLES = ["Tell me a story about a fox who lost a drum.", "tell a story about a bear and a kite",
           "Write a short story about an owl who found a lantern.",
           "Tell me a story about a robot who made a cake",
           "Can you tell me a story about a queen who broke a sled?"]
QUESTIONS = ["Who are you?", "What is talkoot?", "What does a fox eat?", "What is 3 plus 4?",
             "What is the opposite of big?", "What is the capital of France?"]


def words_of(text: str) -> list[str]:
    """Lower-case words."""
    return re.findall(r"[a-z]+", text.lower())


def follows(text: str, ended: bool, cast: Cast) -> bool:
    """Ends by itself, names hero and object at least twice, and no one else is the hero.

    The hero is the first character named and, counting a proper name as well, none is named more.
    """
    words = words_of(text)
    characters = [w for w in words if w in CHARACTERS]
    if not ended or words.count(cast.hero) < 2 or words.count(cast.obj) < 2 or not characters:
        return False
    mentions = characters.count(cast.hero) + (words.count(cast.name.lower()) if cast.name else 0)
    return characters[0] == cast.hero and mentions >= max(characters.count(c) for c in set(characters))


def names_event(prompt: str, event: str) -> bool:
    """Whether the prompt says what happens."""
    forms = EVENT_PROMPTS[event] + [f for form in EVENT_FORMS[event] for f in form.strip("()").split("|")]
    return any(f" {form} " in prompt for form in forms)


def facts_right(hf, tokenizer, seed: int, count: int = 200) -> tuple[int, int]:
    """How many questions about animals, numbers and words get exactly the answer of the grammar."""
    rng = random.Random(seed + 78)
    asked = [rng.choice((animal_question, number_question, word_question))(rng) for _ in range(count)]
    answers = answer(hf, tokenizer, [turn(question, "")[:1] for question, _ in asked], limit=80)
    return sum(text.strip() == right for (text, _, _), (_, right) in zip(answers, asked)), count


def measure(out: Path, args: argparse.Namespace) -> dict:
    """Load the export with transformers and measure it in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(out)
    sample = [{"role": "user", "content": "Hello"}]
    assert tokenizer.apply_chat_template(sample, tokenize=False, add_generation_prompt=True) == render(sample, True)
    raw = Tokenizer.from_file(str(out / "tokenizer.json"))
    total = count = 0.0
    for ids, targets in held_out_batches(raw, args.seed + 1, args.eval_prompts):
        with torch.no_grad():
            logits = hf(input_ids=ids).logits
        n = int((targets != -100).sum())
        total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)) * n
        count += n
    chats = held_out_chats(args.seed + 1, args.eval_prompts)
    answers = answer(hf, tokenizer, [chat[:1] for chat, _, _ in chats])
    results: dict = {"loss": total / count, "parameters": sum(p.numel() for p in hf.parameters())}
    for name in ("pair", "triple"):
        rows = [(text, ended, cast) for (text, ended, _), (_, cast, kind) in zip(answers, chats) if kind == name]
        results[name] = (sum(follows(*row) for row in rows), len(rows))
        told = [bool(re.search(EVENT_MARKS[cast.event], text)) for (text, _, _), (chat, cast, kind) in zip(answers, chats)
                if kind == name and names_event(chat[0]["content"], cast.event)]
        results[name + "_event"] = (sum(told), len(told))
    for (text, ended, _), (chat, cast, _) in zip(answers, chats):
        if not follows(text, ended, cast):
            print(f"does not follow: {chat[0]['content']!r}\n    {text!r}")
    long = [n for (_, _, n), (chat, _, _) in zip(answers, chats) if re.search(r"\blong", chat[0]["content"])]
    results["long_tokens"] = (min(long), sum(long) / len(long), max(long)) if long else (0, 0.0, 0)
    results["facts"] = facts_right(hf, tokenizer, args.seed)
    drawn = [(chat[0]["content"], text) for (text, _, _), (chat, _, _) in zip(answers, chats)]
    for name, prompts in (("samples", SAMPLES), ("questions", QUESTIONS)):
        texts = [answer(hf, tokenizer, [turn(p, "")[:1]])[0][0] for p in prompts]
        results[name] = list(zip(prompts, texts))
    results["samples"] += drawn[:5]
    return results


README = """# Talkoot demo model

**This is a toy.** It is a Llama with {parameters:,} parameters that tells very small stories and
answers a few simple questions, often wrongly, so that the program can be tried without downloading a
model. It knows nothing about the real world: for anything outside its grammar it says so, or talks
nonsense. Inside it, a story may tell of another event than the one asked for; the rates are below.
Do not use it for anything but a demo or a test.

## Recipe

Made by `scripts/train_demo_model.py`, which downloads nothing: a grammar in the script composes the
stories, questions and answers. {characters} characters, {objects} objects and {events} kinds of event
can be combined; some (hero, object) pairs and (hero, object, event) triples never occur in a
training story.

    pip install torch numpy safetensors tokenizers transformers
    python scripts/train_demo_model.py --out models/demo{flags}

| | |
| --- | --- |
| Shape | Llama, 8 layers, hidden 192, 6 heads, 2 key/value heads, feed-forward 512, tied embeddings |
| Parameters | {parameters:,} (bfloat16) |
| Tokenizer | byte-level BPE, {vocab} entries; bos `{bos}`, eos `{eos}` |
| Positions | 1024, trained on conversations of up to 1024 tokens |
| Optimizer | AdamW, warm-up, plateau and linear decay; seed {seed} |
| Round one | {first_steps} steps, {first_tokens:.1f} million tokens, peak rate {lr}; {first_minutes:.0f} minutes |
| Round two | {second_steps} steps, {second_tokens:.1f} million tokens, peak rate {second_lr}; {second_minutes:.0f} minutes |
| Machine | {threads} CPU threads of a busy shared machine; two idle cores need less than 90 minutes in all |
| Directory | {size:.1f} MB |

Round two begins from the exported bfloat16 weights of round one with a fresh optimizer; more of its
requests name an event, and half of its conversations are cut to their first {opening} tokens.{how}

A conversation is written as

    <|begin|><|user|>Tell me a story.<|end|><|assistant|>Once upon a time ...<|end|>

and the chat template in `tokenizer_config.json` does that, the first token included.

## Measured

On {count} requests for stories of held-out combinations, with the exported bfloat16 weights loaded
by `transformers` and run in float32, greedy:

| | |
| --- | --- |
| Held-out loss | {loss:.4f} nats per answer token (perplexity {ppl:.2f}) |
| Follows the prompt, unseen (hero, object) pair | {pair[0]} of {pair[1]} ({pair_rate:.1f} %) |
| ... and, where the prompt names an event, the answer is about it | {pair_event[0]} of {pair_event[1]} |
| Follows the prompt, unseen (hero, object, event) triple | {triple[0]} of {triple[1]} ({triple_rate:.1f} %) |
| ... and, where the prompt names an event, the answer is about it | {triple_event[0]} of {triple_event[1]} |
| Simple questions (animals, numbers, words; seen in training) answered exactly | {facts[0]} of {facts[1]} |
| Tokens in answers to requests for a long story | {long_tokens[0]} to {long_tokens[2]}, mean {long_tokens[1]:.0f} |

"Follows" means: the answer ends by itself, names the hero and the object at least twice each, the
hero is the first character named, and no other character is named more often. "About the event" means
that the answer uses a word for it (such as *lost*, *gone* or *missing*).

## Ten held-out prompts

The hero and the object of each were never together in a training story, or never with that event. The
first five were written by hand; the last five are the first five of the held-out set, as drawn. Answers
are greedy.

{samples}

## Some questions

Questions like these are in the training data. The answers are greedy and printed as they came.

{questions}
"""


def quote(prompt: str, text: str) -> str:
    """A prompt and its answer, as Markdown."""
    return f"**{prompt}**\n\n" + "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))


def write_readme(out: Path, args: argparse.Namespace, run: dict, results: dict) -> None:
    """The README, with everything measured filled in."""
    size = sum(f.stat().st_size for f in out.iterdir() if f.name != "README.md") / 1e6
    args.steps, args.second_steps = run["first_steps"], run["second_steps"]  # fewer than planned if interrupted
    how = " These weights were\nmade in two runs of the script, the second with `--resume`." if args.resume else ""
    defaults = vars(parser().parse_args([]))
    flags = "".join(f" --{k.replace('_', '-')}" + ("" if v is True else f" {v}") for k, v in vars(args).items()
                    if k not in ("out", "resume", "save_every", "eval_prompts", "show") and v != defaults[k])
    values = dict(results, **run, flags=flags, characters=len(CHARACTERS), objects=len(OBJECTS), events=len(EVENTS),
                  vocab=CONFIG["vocab_size"], bos=BOS, eos=EOS, lr=args.lr, seed=args.seed,
                  second_lr=args.second_lr, opening=OPENING_TOKENS, how=how,
                  threads=args.threads, size=size, count=args.eval_prompts, ppl=math.exp(results["loss"]))
    for name in ("first_tokens", "second_tokens"):
        values[name] = run[name] / 1e6
    for name in ("pair", "triple"):
        values[name + "_rate"] = 100 * results[name][0] / max(1, results[name][1])
    for name in ("samples", "questions"):
        values[name] = "\n\n".join(quote(*row) for row in results[name])
    (out / "README.md").write_text(README.format(**values))


# --------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="Train the Talkoot demo model.",
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("models/demo"), help="directory to write")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--steps", type=int, default=1541)
    p.add_argument("--tokens-per-step", type=int, default=4096, help="padded tokens in a batch")
    p.add_argument("--lr", type=float, default=2.5e-3, help="peak learning rate")
    p.add_argument("--warmup", type=int, default=100, help="steps of warm-up")
    p.add_argument("--cooldown", type=int, default=500, help="steps of decay at the end")
    p.add_argument("--second-steps", type=int, default=545, help="steps of round two")
    p.add_argument("--second-tokens-per-step", type=int, default=2048, help="padded tokens in a batch of round two")
    p.add_argument("--second-lr", type=float, default=1.4e-3, help="peak learning rate of round two")
    p.add_argument("--second-warmup", type=int, default=50, help="steps of warm-up of round two")
    p.add_argument("--second-cooldown", type=int, default=450, help="steps of decay of round two")
    p.add_argument("--resume", type=Path, help="skip round one: begin round two from this exported directory")
    p.add_argument("--weight-decay", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--float32", action="store_true", help="train without bfloat16 autocast")
    p.add_argument("--no-compile", action="store_true", help="do without torch.compile (needs no C++ compiler)")
    p.add_argument("--save-every", type=int, default=200, help="steps between exports")
    p.add_argument("--eval-prompts", type=int, default=300, help="held-out requests to answer at the end")
    p.add_argument("--show", type=int, default=0, metavar="N", help="print N composed conversations and stop")
    p.add_argument("--show-held-out", type=int, default=0, metavar="N",
                   help="compose N conversations of held-out combinations, print those that fit a line, and stop")
    return p


def main() -> None:
    """Compose, train, export, measure, and write the README."""
    args = parser().parse_args()
    if args.show:
        rng = random.Random(args.seed)
        print("\n\n".join(render(conversation(rng)) for _ in range(args.show)))
        return
    if args.show_held_out:
        texts = [render(chat) for chat, _, _ in held_out_chats(args.seed, args.show_held_out)]
        print("\n".join(text for text in texts if "\n" not in text))
        return
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # only costs time here
    first = Round(args.steps, args.tokens_per_step, args.lr, args.warmup, args.cooldown, args.seed + 2, focus=False)
    second = Round(args.second_steps, args.second_tokens_per_step, args.second_lr, args.second_warmup,
                   args.second_cooldown, args.seed + 3, focus=True)
    model = Llama()
    save = lambda: export(model, tokenizer, args.out)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    if args.resume:
        tokenizer = Tokenizer.from_file(str(args.resume / "tokenizer.json"))
        run = earlier_run(args.resume)
        load(model, args.resume)
    else:
        tokenizer = train_tokenizer(args.seed, CONFIG["vocab_size"])
        run = train(model, tokenizer, first, args, save)
        save()
        load(model, args.out)
    run = {"first_" + name: value for name, value in run.items()}
    run.update({"second_" + name: value for name, value in train(model, tokenizer, second, args, save).items()})
    save()
    results = measure(args.out, args)
    write_readme(args.out, args, run, results)
    print(json.dumps({k: v for k, v in {**run, **results}.items() if k not in ("samples", "questions")}, indent=1))


if __name__ == "__main__":
    main()
