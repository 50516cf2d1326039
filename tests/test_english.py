"""Written English as it is said."""

from __future__ import annotations

import pytest

from uniavgen_core.speech import english_words as table
from uniavgen_core.speech.reader import SpeechReader

READER = SpeechReader()


def said(text: str) -> str:
    return READER.read(text, "en").text


@pytest.mark.parametrize(
    ("written", "words"),
    [
        # Numbers.
        ("I have 3 apples and 21 pears.", "I have three apples and twenty-one pears."),
        ("10,000 of 1,234,567",
         "ten thousand of one million, two hundred and thirty-four thousand, five hundred and sixty-seven"),
        ("3.14, 0.5, .25 and 1.0", "three point one four, zero point five, point two five and one point zero"),
        ("-5 or −3.2", "minus five or minus three point two"),
        ("pages 5-10, 3.5–4.5", "pages five to ten, three point five to four point five"),
        ("007", "zero zero seven"),
        ("1000000 and 1 000 000", "one million and one million"),
        ("1st, 2nd, 3rd, 21st and 100th", "first, second, third, twenty-first and one hundredth"),
        ("1/2, 3/4 and 2 1/2 or 3½", "one half, three quarters and two and a half or three and a half"),
        ("It is 24/7.", "It is twenty-four seven."),
        ("3M people, 2.5B, 10k, 5 bn", "three million people, two point five billion, ten thousand, five bn"),
        ("2+2=4, 5 - 3 = 2, 2 × 3, 10^6, x²",
         "two plus two equals four, five minus three equals two, two times three, ten to the power of six, x squared"),
        ("1920×1080 or 5x3, 2x faster",
         "nineteen twenty by one thousand and eighty or five by three, two times faster"),
        ("the score was 3-2, a 16:9 screen", "the score was three to two, a sixteen to nine screen"),
        ("a 5-year-old", "a five-year-old"),
        ("No. 5, #1, ~20", "number five, number one, about twenty"),
        # Per cent and units.
        ("1.234,56 € and 5,5 kg",
         "one thousand, two hundred and thirty-four euros and fifty-six cents and five point five kilograms"),
        ("10kg/m², 1/4 tsp, 50/50, 4.5/5",
         "ten kilograms per square meter, one quarter teaspoon, fifty-fifty, four point five out of five"),
        ("50%, 3.5 % and 5-10%", "fifty percent, three point five percent and five to ten percent"),
        ("100 km/h, 60mph", "one hundred kilometers per hour, sixty miles per hour"),
        ("20°C, -5 °F, 90°", "twenty degrees Celsius, minus five degrees Fahrenheit, ninety degrees"),
        ("1 kg, 70 kg, 500mg", "one kilogram, seventy kilograms, five hundred milligrams"),
        ("16 GB, 2.4 GHz, 60 fps", "sixteen gigabytes, two point four gigahertz, sixty frames per second"),
        ("5 m², 10 ml, 5 µm, 10 kΩ", "five square meters, ten milliliters, five micrometers, ten kilohms"),
        ("a 5-km run, 5 ft. tall, 5'10\"", "a five-kilometer run, five feet tall, five foot ten"),
        # Money.
        ("$3.50, $0.99, $1 and $1,200",
         "three dollars and fifty cents, ninety-nine cents, one dollar and one thousand, two hundred dollars"),
        ("$5 million, $3M, $1.5 billion",
         "five million dollars, three million dollars, one point five billion dollars"),
        ("€20, 20 €, EUR 20, 20 USD", "twenty euros, twenty euros, twenty euros, twenty dollars"),
        ("£1.20, £0.01, ¥500, 50¢, US$30",
         "one pound and twenty pence, one penny, five hundred yen, fifty cents, thirty U S dollars"),
        ("$5-10, -$5, $100/month", "five to ten dollars, minus five dollars, one hundred dollars per month"),
        # Dates and times.
        ("2026-11-27", "November twenty-seventh, twenty twenty-six"),
        ("27/11/2026 and 11/27/2026",
         "November twenty-seventh, twenty twenty-six and November twenty-seventh, twenty twenty-six"),
        ("3/4/2026, 27.11.2026", "March fourth, twenty twenty-six, November twenty-seventh, twenty twenty-six"),
        ("Nov 27, Nov. 27, 2026", "November twenty-seventh, November twenty-seventh, twenty twenty-six"),
        ("27 Nov 2026", "the twenty-seventh of November, twenty twenty-six"),
        ("On the 4th of July", "On the fourth of July"),
        ("Fri, Nov 27-29", "Friday, November twenty-seventh to twenty-ninth"),
        ("in 1984, 1900, 2005 and 2026",
         "in nineteen eighty-four, nineteen hundred, two thousand and five and twenty twenty-six"),
        ("1939–1945, the 1990s, the '90s",
         "nineteen thirty-nine to nineteen forty-five, the nineteen nineties, the nineties"),
        ("Mon-Fri, the 1st of Jan., 2020", "Monday to Friday, the first of January, twenty twenty"),
        ("9am-5pm, 10am - 2pm, 3:00pm–4:30pm, 9am-noon",
         "nine A M to five P M, ten A M to two P M, three P M to four thirty P M, nine A M to noon"),
        ("1914-1918, 1850-1860, c.1850 and 1914-18",
         "nineteen fourteen to nineteen eighteen, eighteen fifty to eighteen sixty, about eighteen fifty and nineteen "
         "fourteen to eighteen"),
        ("Wait 30s. The 80s, in her 30s, mid-20s, 80s music, 60s and 70s",
         "Wait thirty seconds. The eighties, in her thirties, mid twenties, eighties music, sixties and seventies"),
        ("in 20s time, a -> b, 1-on-1", "in twenty seconds time, a to b, one on one"),
        ("a 20s timer, a 5 kg bag, a 100m race, in the 1960s and 70s",
         "a twenty-second timer, a five-kilogram bag, a one hundred-meter race, in the nineteen sixties and seventies"),
        ("1h 30m, 5m 30s, 2h15m, 5 m, 2m tall", "one hour thirty minutes, five minutes thirty seconds, "
         "two hours fifteen minutes, five meters, two meters tall"),
        ("2m views, 3m active users", "two million views, three million active users"),
        ("at 3:05 pm, 3pm, 15:30, 7:00", "at three oh five P M, three P M, fifteen thirty, seven o'clock"),
        ("9 a.m. to 5 p.m. It is late.", "nine A M to five P M. It is late."),
        ("12 345,67 €", "twelve thousand, three hundred and forty-five euros and sixty-seven cents"),
        ("€3,50, 10 000 people, 1.000.000 €, €1.000.000, 1.000.000.000",
         "three euros and fifty cents, ten thousand people, one million euros, one million euros, one billion"),
        # Telephone numbers, codes and addresses.
        ("1 800 555 1234", "one, eight zero zero, five five five, one two three four"),
        ("1234 5678 9012 3456",
         "one two three four, five six seven eight, nine zero one two, three four five six"),
        ("1-800-FLOWERS or 1-800-call-now, 10-to-1",
         "one, eight zero zero, flowers or one, eight zero zero, call now, ten to one"),
        ("Call 555-0123-4567 now.", "Call five five five, zero one two three, four five six seven now."),
        ("(555) 012-3456", "five five five, zero one two, three four five six"),
        ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("My number is 5550123456.", "My number is five five five zero one two three four five six."),
        ("Dial 911. The code is 4821.", "Dial nine one one. The code is four eight two one."),
        ("ISBN 978-3-16-148410-0", "I S B N nine seven eight, three, one six, one four eight four one zero, zero"),
        ("john.smith@example.com", "john dot smith at example dot com"),
        ("https://www.example.com/a/", "W W W dot example dot com slash a"),
        ("example.co.uk, 192.168.1.1", "example dot co dot U K, one nine two dot one six eight dot one dot one"),
        ("version 2.3.1 of report.pdf", "version two point three point one of report dot P D F"),
        ("@uniavgen loves #HappyDay", "at uniavgen loves hashtag Happy Day"),
        # Abbreviations, capitals and Roman numerals.
        ("Dr. Smith and Mrs. Jones", "Doctor Smith and Missus Jones"),
        ("Main St. near St. Louis", "Main Street near Saint Louis"),
        ("birds, e.g. gulls, etc.", "birds, for example, gulls, et cetera."),
        ("Mr Brown Jr. vs. Prof. Li", "Mister Brown Junior versus Professor Li"),
        ("Acme Inc. She does too. He is Jr. She knows. Come on Sat. He is.",
         "Acme Incorporated. She does too. He is Junior. She knows. Come on Saturday. He is."),
        ("Sean, a.k.a. Diddy, of Acme Inc. here", "Sean, also known as Diddy, of Acme Incorporated here"),
        ("DR. JONES IS HERE. MR. SMITH LIVES IN ST. LOUIS.",
         "Doctor Jones is here. Mister Smith lives in Saint Louis."),
        ("Mr. and Mrs. Smith, Mr & Mrs Smith, MR. Bean",
         "Mister and Missus Smith, Mister and Missus Smith, Mister Bean"),
        ("The answer is no. 5 people left. He said no. 10 of them. Wait a sec. 5 more. House no. 5 is big.",
         "The answer is no. five people left. He said no. ten of them. Wait a sec. five more. "
         "House number five is big."),
        ("St. Patrick's St. is long. I live on Mulholland Dr. Dr. Smith lives on Elm Dr. He drives.",
         "Saint Patrick's Street is long. I live on Mulholland Drive. Doctor Smith lives on Elm Drive. He drives."),
        ("the U.S. Army, a Ph.D., p. 7", "the U S Army, a P H D, page seven"),
        ("The FBI, NASA, HTML and CEOs", "The F B I, NASA, H T M L and C E Os"),
        ("AT&T, R&D, IBM's", "A T and T, R and D, I B M's"),
        ("MP3, COVID-19, 4K, B2B, H2O, iPhone15",
         "M P three, COVID nineteen, four K, B two B, H two O, iPhone fifteen"),
        ("World War II, Henry VIII, Chapter IV", "World War two, Henry the eighth, Chapter four"),
        ("I am. Plan B. Malcolm X.", "I am. Plan B. Malcolm X."),
        ("Stop NOW, it is NOT ok", "Stop now, it is not ok"),
        ("THIS IS A SIMPLE EXAMPLE", "This is a simple example"),
        ("I SAID NO! DON'T DO IT. THE FBI AND NASA ARE HERE.",
         "I said no! Don't do it. The F B I and NASA are here."),
        ("She said: THIS IS NOT A DRILL. Then she left.", "She said: this is not a drill. Then she left."),
        ("HELLO", "Hello"),
        ("I really DON'T know, you CAN'T, YOU'RE right, I'VE had it, IT'S fine, LET'S go",
         "I really don't know, you can't, you're right, I've had it, it's fine, let's go"),
        ("the CEO'S plan, the FBI'S and NASA'S, TOM'S", "the C E O's plan, the F B I's and NASA's, tom's"),
        ("DON'T do it. JOHN'S here.", "Don't do it. John's here."),
        ("THE CEO'S HERE AND IT'S LATE", "The C E O's here and it's late"),
        # Signs.
        ("6÷2, 3▶5, 5✕3, 5 ✖ 3", "six divided by two, three five, five by three, five times three"),
        ("Hello😀world, Hi😀!", "Hello world, Hi!"),
        ("Tom & Jerry, he/she, 5 @ $3, 100% sure",
         "Tom and Jerry, he slash she, five at three dollars, one hundred percent sure"),
        ("π, Δt, 5 Ω and α-particles", "pi, Delta t, five ohms and alpha-particles"),
        ("§5, © 2026, ±2, ≤ 3",
         "section five, copyright twenty twenty-six, plus or minus two, less than or equal to three"),
    ],
)  # fmt: skip
def test_written_english(written: str, words: str) -> None:
    assert said(written) == words


@pytest.mark.parametrize("text", ["Hello, three red birds.", "Don't say it's fine... ok?", "I'm here — at last!"])
def test_plain_words_stay(text: str) -> None:
    assert said(text) == text


def test_what_is_said_is_said_again_alike() -> None:
    text = "Dr. Smith paid $3.50 at 3:05 pm for 21 MP3s of the FBI; mail a@b.com."
    assert said(said(text)) == said(text)
    for sign in (*table.CURRENCIES, *table.CURRENCY_CODES):
        assert said(said(f"{sign} 5 it is")) == said(f"{sign} 5 it is"), sign
    for unit in table.UNITS:
        assert said(said(f"{unit}: 5 {unit} ok")) == said(f"{unit}: 5 {unit} ok"), unit
    for short in table.ABBREVIATIONS:
        assert said(said(f"It is {short}. ok")) == said(f"It is {short}. ok"), short


def test_a_switch_gives_the_model_numbers_as_they_stand() -> None:
    spoken = SpeechReader(read_numbers=False).read("“Dr.” Smith has 21 GB of the FBI.")
    assert spoken.text == '"Dr." Smith has 21 GB of the FBI.'
    assert spoken.seconds() == READER.read("“Dr.” Smith has 21 GB of the FBI.").seconds()
