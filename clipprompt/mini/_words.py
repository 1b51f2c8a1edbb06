"""What the caption grammar calls things. Names are kind by kind: ``singular/plural weight``."""

from __future__ import annotations

Name = tuple[str, str, float]


def _listed(text: str) -> tuple[str, ...]:
    """The phrases of a list separated by commas, line breaks counting as spaces."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


def _names(text: str) -> tuple[Name, ...]:
    pairs = [phrase.rsplit(" ", 1) for phrase in _listed(text)]
    return tuple((forms.split("/")[0], forms.split("/")[-1], float(weight)) for forms, weight in pairs)


def _blocks(text: str) -> dict[str, str]:
    """Blocks separated by semicolons, each ``key: rest``."""
    return {key.strip(): rest for key, rest in (block.split(":") for block in text.split(";"))}


# The official names that nobody says in a caption ("diningtable") have small weights, as in life.
NAMES: dict[str, tuple[Name, ...]] = {
    kind: _names(text)
    for kind, text in _blocks(
        """
        aeroplane: airplane/airplanes 34, plane/planes 34, jet/jets 14, jetliner/jetliners 6, aircraft 5,
            aeroplane/aeroplanes 2;
        bicycle: bike/bikes 58, bicycle/bicycles 34, mountain bike/mountain bikes 4, cycle/cycles 3;
        bird: bird/birds 60, seagull/seagulls 9, parrot/parrots 9, pigeon/pigeons 7, duck/ducks 8, sparrow/sparrows 4;
        boat: boat/boats 55, sailboat/sailboats 14, ship/ships 12, fishing boat/fishing boats 8, yacht/yachts 5,
            ferry/ferries 4;
        bottle: bottle/bottles 55, wine bottle/wine bottles 14, bottle of wine/bottles of wine 10, beer bottle/beer
            bottles 9, water bottle/water bottles 8, flask/flasks 2;
        bus: bus/buses 66, city bus/city buses 12, double decker bus/double decker buses 10, tour bus/tour buses 4,
            school bus/school buses 4;
        car: car/cars 68, sedan/sedans 8, automobile/automobiles 5, hatchback/hatchbacks 4, taxi/taxis 5, SUV/SUVs 4;
        cat: cat/cats 68, kitten/kittens 12, kitty/kitties 8, tabby/tabbies 4, feline/felines 3;
        chair: chair/chairs 72, wooden chair/wooden chairs 12, dining chair/dining chairs 3, lawn chair/lawn chairs 5,
            seat/seats 6;
        cow: cow/cows 66, bull/bulls 10, calf/calves 6, steer/steers 3, ox/oxen 3;
        diningtable: table/tables 70, wooden table/wooden tables 12, dining table/dining tables 5, kitchen
            table/kitchen tables 6, dinner table/dinner tables 3, diningtable/diningtables 0.3;
        dog: dog/dogs 68, puppy/puppies 14, hound/hounds 4, doggy/doggies 2, labrador/labradors 5;
        horse: horse/horses 74, pony/ponies 10, stallion/stallions 4, mare/mares 3, foal/foals 3;
        motorbike: motorcycle/motorcycles 68, motor bike/motor bikes 6, motorbike/motorbikes 4, scooter/scooters 8,
            moped/mopeds 5, bike/bikes 7;
        pottedplant: plant/plants 40, potted plant/potted plants 14, house plant/house plants 10, plant in a
            pot/plants in pots 8, flower pot/flower pots 8, fern/ferns 4, planter/planters 5, pottedplant/pottedplants
            0.3;
        sheep: sheep 70, lamb/lambs 14, ram/rams 6, ewe/ewes 3;
        sofa: couch/couches 74, sofa/sofas 12, loveseat/loveseats 6, settee/settees 2;
        train: train/trains 70, passenger train/passenger trains 9, locomotive/locomotives 7, subway train/subway
            trains 3, train engine/train engines 6;
        tvmonitor: TV/TVs 28, television/televisions 24, monitor/monitors 10, computer monitor/computer monitors 8,
            flat screen TV/flat screen TVs 10, tv/tvs 10, computer screen/computer screens 6, tvmonitor/tvmonitors 0.3;
        traffic light: traffic light/traffic lights 60, stop light/stop lights 20, traffic signal/traffic signals 20;
        fire hydrant: fire hydrant/fire hydrants 75, hydrant/hydrants 20, fire plug/fire plugs 4;
        stop sign: stop sign/stop signs 85, traffic sign/traffic signs 12;
        bench: bench/benches 70, park bench/park benches 22;
        truck: truck/trucks 62, pickup truck/pickup trucks 12, lorry/lorries 5, semi truck/semi trucks 8;
        elephant: elephant/elephants 95;
        zebra: zebra/zebras 95;
        giraffe: giraffe/giraffes 95;
        backpack: backpack/backpacks 70, back pack/back packs 8, school bag/school bags 8, rucksack/rucksacks 6;
        umbrella: umbrella/umbrellas 84, parasol/parasols 10;
        kite: kite/kites 95;
        surfboard: surfboard/surfboards 70, surf board/surf boards 25;
        cup: cup/cups 45, mug/mugs 25, coffee cup/coffee cups 15, cup of coffee/cups of coffee 15;
        banana: banana/bananas 95;
        apple: apple/apples 95;
        pizza: pizza/pizzas 95;
        laptop: laptop/laptops 65, laptop computer/laptop computers 25, notebook computer/notebook computers 5;
        book: book/books 85, novel/novels 6;
        clock: clock/clocks 80, round clock/round clocks 12;
        teddy bear: teddy bear/teddy bears 75, stuffed bear/stuffed bears 12, teddy/teddies 8
        """
    ).items()
}

# A person's words by variant: man, woman, boy, girl.
PEOPLE: tuple[tuple[Name, ...], ...] = (
    _names("man/men 70, guy/guys 12, gentleman/gentlemen 5, male/males 3, person/people 12"),
    _names("woman/women 68, lady/ladies 18, female/females 3, person/people 10"),
    _names("boy/boys 58, little boy/little boys 14, child/children 14, kid/kids 14, person/people 3"),
    _names("girl/girls 58, little girl/little girls 16, child/children 14, kid/kids 12, person/people 3"),
)

# Words for the family of a kind: an annotator's lazy choice.
FAMILIES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("cat", "cow", "dog", "horse", "sheep", "elephant", "giraffe", "zebra"), ("animal", "animals")),
    **dict.fromkeys(("bus", "car", "truck", "motorbike"), ("vehicle", "vehicles")),
    **dict.fromkeys(("chair", "sofa", "diningtable", "bench"), ("piece of furniture", "pieces of furniture")),
    **dict.fromkeys(("apple", "banana", "pizza"), ("snack", "snacks")),
}

PLACES: dict[str, tuple[str, ...]] = {
    place: _listed(text)
    for place, text in _blocks(
        """
        sky: in the sky, under a blue sky, on a cloudy day, with clouds in the sky, in the air;
        field: in a field, on the grass, in a grassy field, in a green pasture, on a lush green field, in a meadow, on
            a grassy hill, in the park;
        street: on the street, on a city street, on the side of the road, in front of some buildings, in the city,
            down the road, in a parking lot;
        night: at night, in the dark, on a city street at night, under the moon, with city lights behind;
        beach: on the beach, at the beach, on the sand, near the ocean, on a sandy beach, by the shore;
        sea: in the water, on the ocean, out at sea, on the water, in the sea, on the lake;
        snow: in the snow, on a snowy day, on the snow, in the snowy field, in winter;
        forest: in the woods, in the forest, near some trees, with trees in the background, next to pine trees;
        mountains: in front of the mountains, with mountains in the background, near a mountain range, in the valley;
        desert: in the desert, on a dirt field, on the dry sand, next to a cactus, in a dusty area;
        room: in a living room, in a room, on the floor, in a bedroom, inside a house, near the wall, on a rug;
        kitchen: in a kitchen, on the counter, in front of the cabinets, in a tiled kitchen, on the tile
        """
    ).items()
}

_GRAZING = ("standing", "grazing", "walking", "eating grass", "roaming", "")
_PETS = ("sitting", "standing", "looking at the camera", "resting", "playing", "waiting", "")
_IN_THE_AIR = ("flying", "flying high", "soaring", "in flight", "")
_ON_THE_ROAD = ("parked", "driving", "stopped", "traveling", "sitting", "")
ACTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cow", "sheep", "horse", "zebra", "elephant", "giraffe"), _GRAZING),
    **dict.fromkeys(("cat", "dog"), _PETS),
    "person": ("standing", "walking", "posing", "waiting", "smiling", "looking around", ""),
    "bird": ("flying", "perched", "standing", "soaring", "sitting", ""),
    **dict.fromkeys(("aeroplane", "kite"), _IN_THE_AIR),
    **dict.fromkeys(("bus", "car", "truck"), _ON_THE_ROAD),
    "motorbike": ("parked", "sitting", "on display", ""),
    "bicycle": ("parked", "leaning", "propped up", ""),
    "train": ("traveling", "passing by", "on the tracks", "pulling in", ""),
    "boat": ("floating", "sailing", "docked", "anchored", ""),
}

ADJECTIVES = _listed(
    """
    nice, old, young, cute, beautiful, pretty, single, lone, strange, modern, shiny, dirty, clean, fancy, lovely,
        plain, bright, striped, furry, fluffy, empty, busy, happy, wooden, colorful, vintage, tired
    """
)
SMALL = ("small", "little", "tiny")
LARGE = ("large", "big", "huge", "giant")
NUMBERS: dict[int, tuple[str, ...]] = {
    2: ("two", "two", "a couple of", "a pair of", "2"),
    3: ("three", "three", "several", "some"),
    4: ("four", "several", "a group of", "many"),
    5: ("five", "a bunch of", "a group of", "many"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "gray": ("gray", "grey", "silver"),
    "tan": ("tan", "beige", "light brown"),
    "purple": ("purple", "violet"),
    "orange": ("orange",),
    "brown": ("brown", "dark brown"),
}

# Ordinary words about nothing that the world draws: real captions are full of words that drawn scenes never need.
_FILLER_TEXT = """
about above across afternoon again against ago air all almost along already also although always among ancient angle
another answer antique any apart area arm around art asian athletic attention autumn away bad balcony ball band bar
barn base baseball basket basketball bat bath bathroom beard beautiful because bed been before begin being bell below
belt beside best better between beyond birthday bit blanket blender block blurry body bold both bottom bow bowl box
branch brand bread break breakfast brick bridge brightly bring broccoli broken brush bucket building built bun business
butter button buy cabinet cage cake call calm camera camp candle candy card cardboard careful carpet carrot carry cart
carved case casual celebrate center ceramic certain chain change charge cheap checkered cheese chocolate christmas
church circle class classroom clear climb close closet cloth clothes cloud coast coat cold collar collection color come
concrete cone cook cookie cool corn corner costume counter country court covered cracked cream cross crossing crown
curb curly curtain curve cut cutting daily dance dark day dead dear deck decorated deep delicious dessert different
direction dirt dish display dock donut door down dozen draw dress drink drive dry during dusk each early earth easy eat
edge edges either electric else empty enclosed end enjoy enough entire evening event every exhibit expensive eye fabric
face facing factory fall far farm fashioned fast feather fed feed feet fence few fill filled final fine finger first
fish flag flight floor flying foggy follow food foot football for fork formal forward fountain frame free french fresh
frisbee from front frosting fruit full fun game garage garden gate gather general gentle giving glove goal going gold
good grand granite grass gravel great grill ground group grow hair half hall hand handle hanging happy harbor hard has
hat hay head hear heart heavy helmet here hidden high highway hill hit hold hole holiday home hood hope hot hotel hour
how hurry ice icing idea image important indoor inside instead interesting into iron island item its jacket jeans job
join juice jump just keep kept key keyboard kick kind kitchenette knife lake lamp land lane lap late laugh lay leaf
lean learn leash leather leave left leg lettuce level library lid life like line lined listen live load local log long
look lot loud low luggage lunch machine magazine main make market mask match matching meal meat medium meeting metal
meter microwave middle might milk mirror misty mix moment monday money month moon more morning most motion mountainous
mouth move much mud museum mushroom music must name napkin narrow near neat neck need net never new newspaper next
night no noodles north nose not note nothing number nuts object ocean odd off office often onion only onto open orchard
ornate other out outdoors outfit outside oven over overhead own page paint painted pair palm pan pants paper parade
part party pass past pasta path patio pattern paved pay pencil perform phone photo piano pick picnic picture pie pier
pile pillow pin pitch pitcher place plaid plastic plate platform play please plenty point pole pond pool porcelain
porch port post poster powder power practice prepare present price print public pull pumpkin purse push put quiet quilt
race rack racket railing rain rainy raise ramp reach read ready real rear refrigerator remote remove rest restaurant
rice rich right ring river rock roll roof room root rope rough row run rural rustic safe sail salad salt same sand
sandwich sauce say scarf scene science scissors season second see seem sell serve set shade shadow shallow shape share
sharp shelf shirt shoe shop shore short shorts shot shoulder show shower side sidewalk silly simple since sing sink sit
size skate ski sky sleep slice slope slow smile smoke smooth soap soccer sock soda soft song soon sort soup south space
special speed spice spoon sport spot spray spring square stack stadium stage stairs stand star start station statue
stay steak steam steel steep stick still stone store storm story stove straight strange straw stream strong style such
sugar suit suitcase summer sun sunday sunglasses sunny sunset surprised sweater sweet swim swing switch tail take talk
tall tape taste tea tell tennis tent test thank that their them then there these they thick thin thing think third this
those though through throw tie tile time tire title to today toilet tomato tongue tool tooth top toss touch towel tower
town track trail tree trick trip tropical try tub tuesday turn tuxedo uniform until up upon upper urban use used usual
valley various vase vegetable very vest view village visit wait walk wall want warm was wash watch wave way wear
weather wedding weekend well were west wet what wheel when where which while who whole why wide wild will wind window
wing winter wire wish with within without wood wool word work world worn wrap write yard year yell yesterday yet yogurt
you your zone zoo
"""
FILLERS: tuple[str, ...] = tuple(_FILLER_TEXT.split())

_SYLLABLE_TEXT = """
ba be bo bri ca chi cla co cra da de dol dra el en fa fer fi fla ga gen glo gra ha hin jo ka kel ki la len lo lu ma mer
mi mo na nel ni no or pa per pi pla po qui ra ren ri ro sa sel shi so sta ta ten ti tor tra u va ven vi wa wen wi xa yo
za ze zi
"""
SYLLABLES: tuple[str, ...] = tuple(_SYLLABLE_TEXT.split())
