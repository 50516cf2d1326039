"""Tables of written English: units, money, abbreviations and the like, and how each is said."""

from __future__ import annotations

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FULL_MONTH = "(?:" + "|".join(f"{name[:3]}(?:{name[3:]}|\\.)?" for name in MONTHS) + r"|Sept\.?)"

CURRENCIES = {
    "US$": ("U S dollar", "U S dollars"), "HK$": ("Hong Kong dollar", "Hong Kong dollars"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars"), "CA$": ("Canadian dollar", "Canadian dollars"),
    "C$": ("Canadian dollar", "Canadian dollars"), "A$": ("Australian dollar", "Australian dollars"),
    "R$": ("real", "reais"), "CN¥": ("yuan", "yuan"), "$": ("dollar", "dollars"), "€": ("euro", "euros"),
    "£": ("pound", "pounds"), "¥": ("yen", "yen"), "₹": ("rupee", "rupees"), "₩": ("won", "won"),
    "₽": ("ruble", "rubles"), "₿": ("bitcoin", "bitcoins"), "₫": ("dong", "dong"), "฿": ("baht", "baht"),
    "₺": ("lira", "lira"), "₴": ("hryvnia", "hryvnias"), "₪": ("shekel", "shekels"), "₱": ("peso", "pesos"),
    "₦": ("naira", "naira"), "¢": ("cent", "cents"),
}  # fmt: skip
CURRENCY_CODES = {
    "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "RMB": "CN¥", "INR": "₹", "KRW": "₩", "RUB": "₽",
    "BTC": "₿", "HKD": "HK$", "CAD": "C$", "AUD": "A$", "NZD": "NZ$",
}  # fmt: skip
CURRENCIES |= {"CHF": ("Swiss franc", "Swiss francs"), "SEK": ("krona", "kronor"), "PLN": ("zloty", "zloty")}
HUNDREDTHS = {"£": ("penny", "pence"), "₹": ("paisa", "paise")}
"""Others have cents; yen, yuan and the like have none that is said."""
WITHOUT_HUNDREDTHS = frozenset("¥₩₿₫¢")
MAGNITUDES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mio": "million",
    "b": "billion", "B": "billion", "bn": "billion", "T": "trillion", "tn": "trillion", "thousand": "thousand",
    "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip

UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "km/s": ("kilometer per second", "kilometers per second"), "m/s²": ("meter per second squared", ) * 2,
    "m/s": ("meter per second", "meters per second"), "mph": ("mile per hour", "miles per hour"),
    "mi/h": ("mile per hour", "miles per hour"), "ft/s": ("foot per second", "feet per second"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"), "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"), "cm²": ("square centimeter", "square centimeters"),
    "mm²": ("square millimeter", "square millimeters"), "ft²": ("square foot", "square feet"),
    "m³": ("cubic meter", "cubic meters"), "cm³": ("cubic centimeter", "cubic centimeters"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "μm": ("micrometer", "micrometers"), "nm": ("nanometer", "nanometers"), "m": ("meter", "meters"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"), "ft": ("foot", "feet"), "sq ft": ("square foot", "square feet"),
    "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "μg": ("microgram", "micrograms"),
    "g": ("gram", "grams"), "lbs": ("pound", "pounds"), "lb": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "L": ("liter", "liters"), "l": ("liter", "liters"), "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"), "cl": ("centiliter", "centiliters"), "dl": ("deciliter", "deciliters"),
    "gal": ("gallon", "gallons"), "tsp": ("teaspoon", "teaspoons"), "tbsp": ("tablespoon", "tablespoons"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"), "s": ("second", "seconds"), "sec": ("second", "seconds"),
    "secs": ("second", "seconds"), "ms": ("millisecond", "milliseconds"), "μs": ("microsecond", "microseconds"),
    "ns": ("nanosecond", "nanoseconds"), "yrs": ("year", "years"), "yr": ("year", "years"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"), "GW": ("gigawatt", "gigawatts"),
    "mW": ("milliwatt", "milliwatts"), "W": ("watt", "watts"), "kV": ("kilovolt", "kilovolts"), "V": ("volt", "volts"),
    "mAh": ("milliamp hour", "milliamp hours"), "mA": ("milliamp", "milliamps"), "dB": ("decibel", "decibels"),
    "kΩ": ("kilohm", "kilohms"), "MΩ": ("megohm", "megohms"), "Ω": ("ohm", "ohms"),
    "kcal": ("kilocalorie", "kilocalories"), "cal": ("calorie", "calories"), "kJ": ("kilojoule", "kilojoules"),
    "kPa": ("kilopascal", "kilopascals"), "hPa": ("hectopascal", "hectopascals"), "Pa": ("pascal", "pascals"),
    "psi": ("P S I", "P S I"), "rpm": ("R P M", "R P M"), "bpm": ("beat per minute", "beats per minute"),
    "fps": ("frame per second", "frames per second"), "dpi": ("D P I", "D P I"), "px": ("pixel", "pixels"),
    "MP": ("megapixel", "megapixels"), "kB": ("kilobyte", "kilobytes"), "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "PB": ("petabyte", "petabytes"), "Mbps": ("megabit per second", "megabits per second"),
    "Mbit/s": ("megabit per second", "megabits per second"), "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "kbps": ("kilobit per second", "kilobits per second"), "kg/m³": ("kilogram per cubic meter", ) * 2,
    "ha": ("hectare", "hectares"), "mpg": ("mile per gallon", "miles per gallon"), "hp": ("horsepower", "horsepower"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"), "kt": ("knot", "knots"), "kts": ("knot", "knots"),
    "ppm": ("part per million", "parts per million"), "%": ("percent", "percent"), "‰": ("per mille", "per mille"),
    "in²": ("square inch", "square inches"), "kN": ("kilonewton", "kilonewtons"), "nF": ("nanofarad", "nanofarads"),
}  # fmt: skip
ATTACHED_UNITS = frozenset(("h", "s", "m", "g", "l", "in", "W", "V", "L", "min", "cal", "hp", "ha", "MP", "gal"))
"""Units that are words or letters elsewhere: of these, a space before stands only behind a number that is no year."""
COUNTED_IN_MILLIONS = (
    "views?|people|users|followers|subscribers|subs|downloads|likes|players|copies|dollars|euros|pounds|viewers|listeners|"
    "streams|customers|members|visitors|fans|jobs|lives|readers|hits|plays|sales|units|homes|voters|children|women|men|"
    "barrels|clicks|shares|tickets|residents|inhabitants|accounts|records|messages|students|workers|households"
)
"""Before one of these, m is million."""
BETWEEN_NOUNS = "of|in|on|at|to|and|or|is|was|per|from|by|for|than|if|as|with|without|but|so|when|while|each|every"
PER = ("day", "week", "month", "mo", "year", "yr", "hour", "hr", "night", "person", "kg", "lb", "second", "minute")
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi", "ρ": "rho",
    "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi",
    "ω": "omega", "ϵ": "epsilon",
}  # fmt: skip
SIGNS = {
    "&": "and", "+": "plus", "=": "equals", "@": "at", "%": "percent", "°": "degrees", "§": "section",
    "©": "copyright", "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "approximately", "≠": "not equal to",
    "≤": "less than or equal to", "≥": "greater than or equal to", "∞": "infinity", "√": "square root of",
    "→": "to", "‰": "per mille", "#": "hash", "№": "number", "∑": "sum of", "≡": "equals",
}  # fmt: skip

TITLES = {
    "Dr": "Doctor", "Drs": "Doctors", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs",
    "Prof": "Professor", "Rev": "Reverend", "Hon": "Honorable", "Gov": "Governor", "Sen": "Senator",
    "Rep": "Representative", "Pres": "President", "Gen": "General", "Col": "Colonel", "Maj": "Major",
    "Capt": "Captain", "Cpt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Adm": "Admiral", "Cmdr": "Commander",
    "Mt": "Mount", "Ft": "Fort", "Fr": "Father", "Sr": "Sister", "Pvt": "Private", "Cpl": "Corporal", "Supt":
    "Superintendent", "Insp": "Inspector", "Det": "Detective",
}  # fmt: skip
"""Before a name."""
TITLES_WITHOUT_POINT = ("Dr", "Mr", "Mrs", "Ms", "Prof", "Mt", "Sgt", "Capt", "Lt")
ABBREVIATIONS = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "etc": "et cetera", "vs": "versus", "viz": "namely",
    "approx": "approximately", "dept": "department", "Dept": "Department", "est": "established", "govt": "government",
    "Govt": "Government", "max": "maximum", "min": "minimum", "misc": "miscellaneous", "al": "al", "cf": "compare",
    "ca": "about", "a.k.a": "also known as", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation",
    "Co": "Company", "Jr": "Junior", "Sr": "Senior", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road",
    "Hwy": "Highway", "Esq": "Esquire", "Bros": "Brothers", "Assn": "Association", "Univ": "University", "ext":
    "extension", "Ext": "extension", "tel": "telephone", "Tel": "telephone", "incl": "including", "excl": "excluding",
    "temp": "temperature", "avg": "average", "wk": "week", "mo": "month", "yr": "year", "hr": "hour", "sq": "square",
    "qty": "quantity", "Ln": "Lane", "Pkwy": "Parkway", "Sq": "Square", "Apt": "Apartment", "apt": "apartment",
    "Bldg": "Building", "Fri": "Friday", "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday",
    "Thu": "Thursday", "Thur": "Thursday", "Thurs": "Thursday", "Sat": "Saturday", "Sun": "Sunday",
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July",
    "Aug": "August", "Sep": "September", "Sept": "September", "Oct": "October", "Nov": "November", "Dec": "December",
}  # fmt: skip
"""With a point behind."""
BEFORE_NUMBERS = {
    "No": "number", "no": "number", "Nos": "numbers", "p": "page", "pp": "pages", "vol": "volume", "Vol": "Volume",
    "fig": "figure", "Fig": "Figure", "ch": "chapter", "Ch": "Chapter", "sec": "section", "Sec": "Section",
    "c": "about", "eq": "equation", "Eq": "Equation", "art": "article", "Art": "Article", "ver": "version",
    "v": "version", "para": "paragraph", "pt": "part", "Pt": "Part",
}  # fmt: skip
AMID = frozenset(("e.g", "eg", "i.e", "viz", "cf", "ca", "a.k.a", "approx", "est", "vs", "incl", "excl", "al"))
"""Abbreviations that stand amid a sentence, whatever follows."""
BEFORE_DAYS = r"\b(?:[Oo]n|by|until|till|since|next|last|every|this|before|after|to|from|and|or)\ $"
VERBS_IN_S = frozenset(
    "is was has does as its this across plus versus goes means says comes wins gets makes takes".split()
)
"""Words that end like a plural, and are none."""
STARTERS = (
    "He|She|It|They|We|I|You|The|This|That|These|Those|In|On|At|But|And|So|My|Our|His|Her|What|When|Where|Why|How|If|As|"
    "A|An|There|Then|Here|Who|Which|Now|Not|No|Yes|For|From|To|With|After|Before|Please|Their|Its|Let|Do|Did|Is|Are"
)
"""Words with which a sentence often begins."""
WRITTEN_WITH_SLASHES = {"w/o": "without", "w/": "with", "b/c": "because", "c/o": "care of", "a/c": "A C", "n/a": "N A"}
ODD_WORDS = {"PhD": "P H D", "PhDs": "P H Ds", "iOS": "i O S", "macOS": "mac O S", "OK": "okay", "vs": "versus"}

DOMAINS = (
    "com|org|net|edu|gov|mil|info|biz|io|ai|co|uk|de|fr|cn|jp|ru|us|ca|eu|au|in|tv|me|app|dev|nl|it|es|ch|at|se|no|hk|tw|"
    "sg|kr|br|be|pl|cc|top|xyz|shop|online|site|blog|cloud|tech|news|live|club|ly|gg|fm|so|to"
)
DOMAINS_SAID = frozenset(
    "com org net edu gov mil info biz co me app dev shop online site blog cloud tech news live club top".split()
)
"""Ends of addresses that are words; the others are spelt."""
FILES = "pdf|docx?|xlsx?|pptx?|jpe?g|png|gif|mp[34]|wav|zip|exe|py|js|ts|html?|css|json|csv|txt|md|svg|mov|avi|mkv"

NUMBERED = (
    "Chapter|Part|War|Volume|Vol\\.|Act|Scene|Section|Phase|Type|Class|Book|Bowl|Article|Episode|Level|Stage|Title|"
    "Appendix|Figure|Table|Grade|Group|Division|Corps|Schedule|Unit|Lesson|Season|Round|Tier|Factor|Mark|Olympiad"
)
MONARCHS = (
    "Henry|Louis|Charles|Elizabeth|George|William|Edward|James|Richard|Paul|Benedict|Pius|Philip|Alexander|Catherine|"
    "Peter|Nicholas|Napoleon|Ferdinand|Leo|Frederick|Mary|Victoria|Ramses|Ramesses|Gregory|Innocent|Clement|Urban|"
    "Francis|Wilhelm|Friedrich|Ivan|Christian|Gustav|Haakon|Harald|Carl|Felipe|Juan|Carlos|Umberto|Leopold|Albert|"
    "Margrethe|Mehmed|Murad|Selim|Darius|Xerxes|Ptolemy|Cleopatra|Constantine|Theodosius|Otto|Boniface|John|Stephen|Rama"
)

SAID_AS_WORDS = frozenset(
    """
    NASA NATO UNICEF UNESCO OPEC AIDS NAFTA FIFA UEFA PIN SIM RAM ROM GIF JPEG LAN WAN COVID LASER RADAR SCUBA SWAT OSHA
    FEMA NASDAQ IKEA LEGO CAPTCHA YOLO FOMO TED ZIP DOS SARS MERS EBITDA POTUS SCOTUS DARPA CERN HIPAA NIMBY ASCII UNIX
    BIOS WASP PETA ASEAN NORAD TASER SONAR MOMA SIDS GUI CAD RAID WIKI ANOVA NICE TESOL TOEFL
    """.split()
)
"""Words made of first letters that are said as words, beside those that look like any word."""
SPELT = frozenset(
    """
    USA CEO CIA FBI AI API URL IBM ATM UFO DIY FAQ ID IQ VIP EU UK UN UAE USB IEEE UCLA ACLU AARP HIV ISBN OECD ADHD IOU
    ETA EPA FDA NBA NFL NHL NBC ABC BBC CNN CBS HBO ESPN AOL AMA ADA APA EEG ECG MRI ICU IVF DOA DUI DNA RNA IPO CFO CTO
    COO CIO GPA GPS GDP AC DC TV PC CD DVD LED LCD CPU GPU SSD HDD SQL PHP CSS HTML XML PDF SDK IDE IRS IRA NYPD LAPD
    RSVP FYI ASAP AKA BLT IPA UTI UV UX UI IP VPN ISP IOS AWS SAP HR PR VR AR MVP RPG FPS NPC DJ MC EP LP SOS ICE IMDB
    USSR DDR MIT NYC LA NYU USC UBC UTC GMT EST PST CST CET AOC JFK MLK TSA NSA DEA ATF DOJ DOE DOD EMT AED OCD PTSD IED
    ATV SUV RV MPG CEOS APR IMF WTO WHO IT US
    """.split()
)
"""Words made of first letters that could be taken for words, and are said letter by letter."""
AMBIGUOUS = frozenset("IT US WHO ICE AM PM LED ID APR AIDS PIN RAM NICE TED ZIP LAN IDE AR HR LA EST SAP IRA".split())
"""Among words that are all in capitals, these are taken for ordinary words."""
SHORT_WORDS = frozenset(
    """
    THE AND BUT NOT YOU ALL ANY CAN HAD HER WAS ONE OUR OUT DAY GET HAS HIM HIS HOW MAN NEW NOW OLD SEE TWO WAY BOY DID
    ITS LET PUT SAY SHE TOO USE YES NO SO GO DO WE ME MY HE BE BY IF IN IS AS AT AN OF ON OR TO UP BIG BAD BED BUY CAR
    CAT CRY CUT DIE DOG EAT END EYE FAR FEW FLY FOR FUN GOD GOT GUY HEY HOT JOB JOY KEY KID LIE LOT LOW MAD MOM DAD NOR
    OFF OH OWN PAY RED RUN SAD SAT SIT SIX SUN TEN TOP TRY WAR WET WHY WIN WON YET WOW UGH HA AH ARE ASK AGO AIR ARM ART
    BAG BOX BUS CUP EAR EGG FAN FIT FIX GAS HIT ICE ILL LAW LEG LIP MAY MET MIX NET OIL PEN SEA SKY SON TAX TEA VAN VIA
    ACT ADD AID AIM BAN BAR BAT BET BID BIT COW DIG DOT DRY DUE EGO ELF ERA EVE FAT FEE FIG FOG FOX GUM GUN GYM HAT HEN
    HIP HOP HUG HUT INN INK JAM JAR JAW JET LAB LAP LAY LID LOG MAP MAT MEN MUD MUG NAP NUT ODD ONE ORE OWE OWL PAN PAT
    PET PIE PIG PIN POP POT PUB RAT RAW RIB RID ROB ROD ROW RUB SEW SHY SIN SIP SKI SPY SUM TAP TIE TIN TIP TOE TON TOY
    US WAX WEB WED WHO WIT ZOO IT AM
    """.split()
)
"""Ordinary words of two and three letters, which capitals only stress."""
