"""Written Chinese as it is said, and the syllables of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.speech.text import UNKNOWN_SYMBOL, is_ideograph


@pytest.fixture(scope="module")
def reader() -> SpeechReader:
    return SpeechReader()


@pytest.fixture(scope="module")
def syllables(reader: SpeechReader) -> Callable[[str], str]:
    """The symbols that a text becomes, as one text."""
    names = {index: symbol for symbol, index in reader.lexicon.indices.items()}

    def of(text: str) -> str:
        spoken = reader.read(text)
        return "".join(names[index] for index in reader.symbols(spoken.text, spoken.language)).strip()

    return of


@pytest.mark.parametrize(
    ("written", "words"),
    [
        # Numbers.
        ("我有3个苹果，2个梨，12本书。", "我有三个苹果，两个梨，十二本书。"),
        ("1,234元、3.14米、0.5升", "一千二百三十四元、三点一四米、零点五升"),
        ("2000人走了10000步", "二千人走了一万步"),
        ("-5和−3.2", "负五和负三点二"),
        ("5-10个，5~10个，3–5天", "五到十个，五到十个，三到五天"),
        ("第2次，2号，2楼，2天，2万，2岁", "第二次，二号，二楼，两天，两万，两岁"),
        ("3/4、1/2、½", "四分之三、二分之一、二分之一"),
        ("007和12345678901", "零零七和一二三四五六七八九零一"),
        ("2+2=4，5-3=2，5×3，10^6，x²", "二加二等于四，五减三等于二，五乘三，十的六次方，x的平方"),
        ("比分3:2", "比分三比二"),
        # Per cent and units.
        ("增长50%，3.5%，5-10%，5‰", "增长百分之五十，百分之三点五，百分之五到百分之十，千分之五"),
        ("100km/h，20°C，20℃，-5°C", "一百公里每小时，二十摄氏度，二十摄氏度，零下五摄氏度"),
        ("70kg，2kg，5m²，10ml，2.4GHz，3-5km", "七十公斤，两公斤，五平方米，十毫升，二点四吉赫兹，三到五公里"),
        # Money.
        ("¥12.50，$100，€20，£5", "十二点五元，一百美元，二十欧元，五英镑"),
        ("￥299，写了2000字，请打2345-6789", "二百九十九元，写了二千字，请打二三四五六七八九"),
        ("100元，3万，¥1,200万，20 USD", "一百元，三万，一千二百万元，二十美元"),
        # Dates and times.
        ("2026-11-27，2026/3/5，27/11/2026", "二零二六年十一月二十七日，二零二六年三月五日，二零二六年十一月二十七日"),
        ("2026年11月27日，11月2日，2月", "二零二六年十一月二十七日，十一月二日，二月"),
        ("1990年代，2008奥运会，5年，10年前", "一九九零年代，二零零八奥运会，五年，十年前"),
        ("1949-2026年", "一九四九到二零二六年"),
        (
            "生于1985，在1949，公元1200，从1990到2000，1914-1918，再见2025，2026北京车展，2020级新生，2024款",
            "生于一九八五，在一九四九，公元一二零零，从一九九零到二零零零，一九一四到一九一八，再见二零二五，二零二六北京车展，"
            "二零二零级新生，二零二四款",
        ),
        (
            "花了1500，工资2000，大约1200，2000户，1500票，2000韩元，2000英里，1500像素",
            "花了一千五百，工资二千，大约一千二百，二千户，一千五百票，二千韩元，二千英里，一千五百像素",
        ),
        (
            "增至2000，保持在2000，低于1500，从1500涨到2000，从1500到2000元，月薪1500-2000，1999元的世界杯门票，2000级台阶",
            "增至二千，保持在二千，低于一千五百，从一千五百涨到二千，从一千五百到二千元，月薪一千五百到二千，"
            "一千九百九十九元的世界杯门票，二千级台阶",
        ),
        ("80后、95后和00后，3天后来", "八零后、九五后和零零后，三天后来"),
        (
            "No.1，NO1，Vol.2，p.12，Ver.2.0，№5，Part.2，价格.5",
            "第一，第一，第二卷，第十二页，版本二点零，第五，Part 二，价格零点五",
        ),
        ("第II章，第IV部", "第二章，第四部"),
        (
            "5>3，x>1，1<2，5>=3，质量>数量，看<三体>这本书",
            "五大于三，x大于一，一小于二，五大于等于三，质量大于数量，看 三体 这本书",
        ),
        ("10KG，5KM，500ML，50CM", "十公斤，五公里，五百毫升，五十厘米"),
        ("15:30，8:00，12:30:15，3点05分", "十五点半，八点，十二点三十分十五秒，三点零五分"),
        ("3:05 pm，下午3:05，9am", "下午三点零五分，下午三点零五分，上午九点"),
        # Telephone numbers and addresses.
        ("13800138000", "幺三八，零零幺三，八零零零"),
        ("电话138-0013-8000", "电话幺三八，零零幺三，八零零零"),
        ("010-12345678，400-800-1234", "零幺零，幺二三四五六七八，四零零，八零零，幺二三四"),
        ("请拨打110，密码是1234", "请拨打幺幺零，密码是幺二三四"),
        ("打120，119火警，请叫120，110报警，12315热线", "打幺二零，幺幺九火警，请叫幺二零，幺幺零报警，幺二三幺五热线"),
        ("打120分，找110个人，打100块，打5000多", "打一百二十分，找一百一十个人，打一百块，打五千多"),
        ("发邮件到john@example.com", "发邮件到john艾特example点com"),
        ("版本1.2.3，192.168.1.1", "版本一点二点三，一九二点一六八点一点一"),
        # Letters and signs.
        ("3▶5，6÷2，5✕3，你好😀世界", "三 五，六除以二，五乘三，你好世界"),
        ("①打开②关闭❸", "一 打开 二 关闭 三"),
        ("第Ⅱ章，最终幻想Ⅶ", "第二章，最终幻想七"),
        ("我真的DON'T KNOW", "我真的don't know"),
        ("AI时代的GDP和NASA", "A I时代的G D P和NASA"),
        ("iPhone15，MP3，A4，5G，COVID-19", "iPhone十五，M P三，A四，五G，COVID 十九"),
        ("卡拉OK、T恤", "卡拉OK、T恤"),
        ("A&B，100/天，π", "A and B，一百每天，派"),
        # Traditional characters.
        ("銀行業務，電話有2個", "银行业务，电话有两个"),
    ],
)
def test_written_chinese(reader: SpeechReader, written: str, words: str) -> None:
    assert reader.read(written, "zh").text == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("专注地看书", "zhuan1 zhu4 de kan4 shu1"),
        ("他慢慢地走", "ta1 man4 man4 de zou3"),
        ("科学地分析", "ke1 xue2 de fen1 xi1"),
        ("大声地喊", "da4 sheng1 de han3"),
        ("这块地很大", "zhe4 kuai4 di4 hen3 da4"),
        ("他在地上", "ta1 zai4 di4 shang4"),
        ("跑得快", "pao3 de kuai4"),
        ("高兴得跳起来", "gao1 xing4 de tiao4 qi3 lai2"),
        ("我得去了", "wo3 dei3 qu4 le"),
        ("他得了奖", "ta1 de2 le jiang3"),
        ("简朴的生活", "jian3 pu3 de sheng1 huo2"),
        ("朴先生", "piao2 xian1 sheng1"),
        ("路很长", "lu4 hen3 chang2"),
        ("重做一遍", "chong2 zuo4 yi1 bian4"),
        ("銀行業務", "yin2 hang2 ye4 wu4"),
        ("頭髮很長", "tou2 fa4 hen3 chang2"),
        ("乾淨的音樂", "gan1 jing4 de yin1 yue4"),
        ("这个人很好", "zhe4 ge4 ren2 hen3 hao3"),
        ("那个意思差不多", "na4 ge4 yi4 si1 cha4 bu4 duo1"),
        ("弟弟，工夫，慢慢地折腾", "di4 di4， gong1 fu1， man4 man4 de zhe1 teng2"),
        ("[专注地|de5]看", "zhuan1 zhu4 de kan4"),
        ("我去[銀行|yin2 hang2]", "wo3 qu4 yin2 hang2"),
        ("【银行|yín xíng】", "yin2 xing2"),
        ("［绿｜lü4］色", "lv4 se4"),
        ("[Nguyen|win]来了", "win lai2 le"),
        ("[Nguyen|阮]来了", "ruan3 lai2 le"),
        ("[Wi-Fi|wai1 fei1]坏了", "wai1 fei1 huai4 le"),
    ],
)
def test_syllables(syllables: Callable[[str], str], text: str, expected: str) -> None:
    assert syllables(text) == expected


def test_the_rest_of_a_text_is_read_as_without_a_reading(syllables: Callable[[str], str]) -> None:
    plain = syllables("他在银行行长办公室说：“还有2个人。”")
    assert syllables("他在银行[行长|hang2 zhang3]办公室说：“还有2个人。”") == plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[银行|yin9]", r"“\[银行\|yin9\]” holds “yin9”, which is no syllable"),
        ("[银行|xx1 hang2]", "holds “xx1”"),
        ("[银行|yin2 hang2 ye4]", "has 3 syllables for 2 characters"),
        ("[银行|]", "lacks a part"),
        ("[|hang2]好", "lacks a part"),
        ("[银行|хан]", "holds “хан”"),
        ("好[Nguyen|нгуен]", "spell it in Latin letters"),
    ],
)
def test_a_bad_reading_is_refused_by_name(reader: SpeechReader, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader.read(text)


def test_characters_without_a_sound_are_named(reader: SpeechReader) -> None:
    spoken = reader.read("𠮷野家")
    assert spoken.text == "野家"
    assert spoken.left_out == ("CJK UNIFIED IDEOGRAPH-20BB7 𠮷",)


def test_a_reading_takes_as_long_as_its_characters(reader: SpeechReader) -> None:
    assert reader.read("他[专注地|de5]看").seconds() == reader.read("他专注地看").seconds() == pytest.approx(5 / 4.5)
    assert reader.read("好[OK|ou1 kai1]").seconds() == pytest.approx(3 / 4.5)


def test_the_dictionary_is_loaded_once(reader: SpeechReader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.read("你好")
    loaded = []
    monkeypatch.setattr("jieba.Tokenizer.gen_pfdict", lambda *arguments: loaded.append(arguments))
    assert reader.symbols(reader.read("今天天气很好").text, "zh")
    assert not loaded


def test_no_frequent_word_loses_a_syllable(reader: SpeechReader) -> None:
    reader.lexicon.segments("")
    frequencies = reader.lexicon._segmenter.FREQ
    words = [word for word, count in frequencies.items() if count > 300 and all(map(is_ideograph, word))]
    assert len(words) > 5000
    for start in range(0, len(words), 500):
        spoken = reader.read("，".join(words[start : start + 500]))
        symbols = reader.symbols(spoken.text, "zh")
        # A space stands before each syllable; another one would be a syllable that the vocabulary lacks.
        assert symbols.count(UNKNOWN_SYMBOL) == sum(sign == " " or is_ideograph(sign) for sign in spoken.text)
        assert len(spoken.left_out) <= 10
