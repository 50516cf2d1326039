"""Written Chinese as it is read aloud: numbers, dates, money, units, telephone numbers, addresses and the like."""

from __future__ import annotations

import re
import unicodedata

from cn2an import an2cn

from .capitals import spelt_capitals
from .english_words import CURRENCY_CODES, DOMAINS, FILES, GREEK
from .rules import Rule, ahead, behind, rule

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![A-Za-z\d])\.\d+"
START = r"(?<![A-Za-z\d.])"
LONGEST_CARDINAL = 12
"""A number of more digits is read digit by digit."""
LONGEST_UNPARTED = 9
"""So is one of more digits without commas, unless it is round."""
CURRENCIES = {
    "US$": "美元", "HK$": "港元", "NT$": "新台币", "A$": "澳元", "C$": "加元", "CN¥": "元", "S$": "新加坡元",
    "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "₩": "韩元", "₹": "卢比", "₽": "卢布", "₿": "比特币",
    "฿": "泰铢", "₫": "越南盾", "CHF": "瑞士法郎", "TWD": "新台币", "SGD": "新加坡元", "JPY": "日元",
}  # fmt: skip
CODES = {**CURRENCY_CODES, "JPY": "JPY", "CHF": "CHF", "TWD": "TWD", "SGD": "SGD"}
UNITS = {
    "km/h": "公里每小时", "m/s²": "米每二次方秒", "km/s": "公里每秒", "m/s": "米每秒", "kg/m³": "千克每立方米",
    "°C": "摄氏度", "°F": "华氏度", "°": "度", "km²": "平方公里", "m²": "平方米", "cm²": "平方厘米",
    "mm²": "平方毫米", "m³": "立方米", "cm³": "立方厘米", "km": "公里", "cm": "厘米", "mm": "毫米", "μm": "微米",
    "nm": "纳米", "m": "米", "kg": "公斤", "mg": "毫克", "μg": "微克", "g": "克", "t": "吨", "lb": "磅",
    "oz": "盎司", "ft": "英尺", "mph": "英里每小时", "ml": "毫升", "mL": "毫升", "L": "升", "l": "升", "h": "小时",
    "min": "分钟", "s": "秒", "ms": "毫秒", "μs": "微秒", "ns": "纳秒", "Hz": "赫兹", "kHz": "千赫兹",
    "MHz": "兆赫兹", "GHz": "吉赫兹", "kWh": "千瓦时", "kW": "千瓦", "MW": "兆瓦", "W": "瓦", "kV": "千伏",
    "V": "伏", "mAh": "毫安时", "mA": "毫安", "dB": "分贝", "kΩ": "千欧", "MΩ": "兆欧", "Ω": "欧姆", "kcal": "千卡",
    "kJ": "千焦", "kPa": "千帕", "hPa": "百帕", "Pa": "帕", "ha": "公顷", "bpm": "次每分钟", "px": "像素",
    "KG": "公斤", "Kg": "公斤", "KM": "公里", "Km": "公里", "CM": "厘米", "MM": "毫米", "ML": "毫升",
    "KM/H": "公里每小时", "KW": "千瓦", "KWH": "千瓦时", "MIN": "分钟",
    "mmHg": "毫米汞柱", "kN": "千牛", "hp": "马力", "fps": "帧每秒",
}  # fmt: skip
MEASURES = (
    "个|只|位|名|人|本|张|条|件|块|台|辆|架|艘|座|栋|间|家|所|套|双|对|支|枝|根|颗|粒|朵|片|滴|杯|碗|瓶|盒|包|袋|箱|罐|桶|盘|锅|"
    "份|项|次|回|遍|趟|场|顿|步|口|句|段|篇|首|页|行|列|层|种|类|样|门|节|课|天|年|周|星期|小时|分钟|秒|刻|岁|倍|半|代|届|批|群|"
    "队|排|组|头|匹|棵|株|扇|面|幅|道|把|顶|枚|封|部|集|元|块钱|角|毛|公里|千米|米|厘米|毫米|公斤|千克|克|斤|吨|升|毫升|亩|里|尺|"
    "万|亿|千|百万|千万|美元|欧元|英镑|港元|日元|平方米|平方公里|立方米|度|成|轮|款|处|栏|点钟|点|个月|瓦|伏|米每秒|公里每小时|吨|卷|册|字|多|余|来|几|户|票|词|韩元|卢布|卢比|英里|海里|英尺|英寸|马力|像素|公顷|港币|人民币|股|笔|单|例|起|桌|尊|幢|束|"
    "串|克拉|加仑|赫兹|摄氏度|大卡|千卡|焦耳|粉丝|积分|金币|帧|平米|公分|声|针|剂"
)
"""Words of measure, before which 2 is 两."""
YEAR = r"(?:1[1-9]|20)\d\d"
BEFORE_YEARS = (
    "公元前?|[自从]|(?<![低高等大小少多当])于|(?<![持制定])在|(?<![涨增升跌降减加达高低提调多少])[到至]|截止|截至|始建|成立|出生|生于|你好|再见|告别|展望|迎接|迎来|"
    "回顾|欢迎|跨入|步入|进入|走进|制造|愿景"
)
"""Words before a year that has no 年 behind it."""
BEHIND_YEARS = (
    "春节|新春|新年|元旦|圣诞|奥运|残奥|冬奥|世界杯|欧洲杯|美洲杯|亚洲杯|亚运|全运|世锦赛|世博|春晚|高考|中考|考研|赛季|春夏|"
    "秋冬|春季|夏季|秋季|冬季|上半年|下半年|财年|学年|大选|车展|峰会|年会|跨年|快乐|毕业|冠状病毒|新冠|末日|届|版|级(?=[学新本硕研])|以来"
)
"""Words behind a year that has no 年 behind it; the name of a place may stand between."""
EMERGENCY = "11[0249]|12[02]|12345|12306|12315|12320|12348|12333|100(?:86|10|00)|95\\d{3}"
"""Numbers that everybody calls."""
CALLED_FOR = "报警|火警|急救|客服|电话|平台|投诉|举报|咨询|出警|接警|查询|救护车|消防"
BOOK_NUMBERS = {
    "no": "第{}", "vol": "第{}卷", "ch": "第{}章", "p": "第{}页", "pp": "第{}页", "ep": "第{}集", "fig": "图{}",
    "ver": "版本{}", "v": "版本{}",
}  # fmt: skip
"""Latin abbreviations with a point, before a number."""
DIGIT_BY_DIGIT = (
    "电话|手机|热线|号码|拨打|致电|传真|拨|打|QQ|qq|微信|密码|验证码|编号|卡号|账号|帐号|邮编|房间|门牌|学号|工号|"
    "车牌|航班|报警|代码"
)
"""Behind one of these, a number is read digit by digit."""
GREEK_LETTERS = {
    "α": "阿尔法", "β": "贝塔", "γ": "伽马", "δ": "德尔塔", "θ": "西塔", "λ": "兰姆达", "μ": "缪", "π": "派",
    "σ": "西格玛", "φ": "斐", "ω": "欧米伽", "ε": "艾普西龙",
}  # fmt: skip
SIGNS = {
    "&": "和", "+": "加", "=": "等于", "@": "艾特", "%": "百分号", "°": "度", "§": "第", "©": "版权", "×": "乘",
    "÷": "除以", "±": "正负", "≈": "约等于", "≠": "不等于", "≤": "小于等于", "≥": "大于等于", "∞": "无穷大",
    "√": "根号", "→": "到", "‰": "千分号", "#": "井号", "№": "第", "∑": "求和", "≡": "恒等于",
}  # fmt: skip
ADDRESS_SIGNS = {
    ".": "点", "/": "斜杠", "-": "杠", "_": "下划线", ":": "冒号", "?": "问号", "=": "等于", "&": "和", "#": "井号",
    "@": "艾特", "+": "加", "%": "百分号", "~": "波浪号",
}  # fmt: skip
ROMAN = ("", *"I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX".split())


def chinese_rules() -> list[Rule]:
    """In the order in which they are asked."""
    return [*_addresses(), *_dates_and_times(), *_numbers(), *_words_and_signs()]


def _cardinal(digits: str) -> str:
    """A whole number; one that begins with 0 or is very long, digit by digit."""
    plain = digits.replace(",", "")
    if (len(plain) > 1 and plain[0] == "0") or len(plain) > LONGEST_CARDINAL:
        return _spelt(plain)
    if plain == digits and len(plain) > LONGEST_UNPARTED and not plain.endswith("000"):
        return _spelt(plain)
    return an2cn(plain, "low")


def _spelt(digits: str) -> str:
    """Digit by digit."""
    return "".join("零一二三四五六七八九"[int(digit)] for digit in digits if digit.isdigit())


def _digits_of_telephone(digits: str) -> str:
    """As numbers of telephones are said, where 1 is yao."""
    return _spelt(digits).replace("一", "幺")


def _number(text: str) -> str:
    """A number with commas and decimals."""
    whole, point, decimals = text.partition(".")
    said = _cardinal(whole) if whole else "零"
    return f"{said}点{_spelt(decimals)}" if point else said


def _counted(text: str) -> str:
    """A number before a word of measure."""
    return "两" if text == "2" else _number(text)


def _addresses() -> list[Rule]:
    return [
        rule(r"(?<![A-Za-z0-9.+_-])[A-Za-z0-9.+_-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", lambda m: _address(m[0])),
        rule(r"(?:https?://|www\.)[A-Za-z0-9./?=&%#:_~+-]*[A-Za-z0-9]/?", lambda m: _address(m[0])),
        rule(
            rf"(?<![A-Za-z0-9@.-])(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+(?:{DOMAINS})(?![A-Za-z0-9-])(?:/[A-Za-z0-9./?=&%#:_~+-]*[A-Za-z0-9])?",
            lambda m: _address(m[0]),
        ),
        rule(rf"(?<![A-Za-z0-9.])[A-Za-z0-9_-]+\.(?:{FILES})(?![A-Za-z0-9])", lambda m: _address(m[0])),
        rule(
            rf"{START}\d{{1,3}}(?:\.\d{{1,3}}){{2,}}(?![A-Za-z\d])",
            lambda m: "点".join((_spelt if m[0].count(".") == 3 else _cardinal)(part) for part in m[0].split(".")),
        ),
        rule(
            r"""(?<![A-Za-z\d.,/:$€£¥-])
            (?:\+\d{1,3}[ -]?(?:\(\d{1,4}\)|\d{1,11})(?:[ -]?\d{2,4}){0,4}
            |\(0?\d{2,4}\)[ -]?\d{6,8}
            |0\d{2,3}-\d{7,8}(?:-\d{1,6})?
            |1[3-9]\d[ -]?\d{4}[ -]?\d{4}
            |[48]00-\d{3,4}-\d{3,4}
            |\d{3,4}(?:-\d{3,4}){2,3}
            |\d{3}-\d{4})
            (?![A-Za-z\d%]|[-/.]\d)""",
            _telephone,
        ),
        rule(
            rf"(?P<before>(?:{DIGIT_BY_DIGIT})(?:号码|号|是|为|了|：|:|\ )*)(?P<number>\d{{3,4}}-\d{{4}}|\d{{3,12}})"
            r"(?!\d|[.,-]\d|[%个名位人次本元块天年月岁分台斤条米度多余折万千百亿])",
            lambda m: m["before"] + _digits_of_telephone(m["number"]),
        ),
        rule(r"(?<!\d)(\d{3,6})(?=房间|航班|室(?!内)|热线|专线)", lambda m: _digits_of_telephone(m[1])),
        rule(
            rf"(?:(?<=呼叫)|(?<=[叫找播])|(?<=联系)|(?<=求助))\ ?({EMERGENCY})(?!\d|[.,-]\d|\ ?(?:{MEASURES}))",
            lambda m: _digits_of_telephone(m[1]),
        ),
        rule(
            rf"{START}({EMERGENCY})(?=\ ?(?:{CALLED_FOR}))",
            lambda m: _digits_of_telephone(m[1]),
        ),
    ]


def _address(text: str) -> str:
    """An e-mail or web address, or a file's name, as it is read."""
    text = re.sub(r"^(?:https?|ftp)://", "", text).rstrip("/")
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+|[^\w\s]|_", text):
        if part in ADDRESS_SIGNS:
            words.append(ADDRESS_SIGNS[part])
        elif part.isdigit():
            words.append(_spelt(part) if len(part) > 2 else _cardinal(part))
        elif part.lower() == "www":
            words.append("三W")
        elif part.lower() in ("cn", "hk", "tw", "io", "ai", "uk", "de", "jp", "us", "tv", "cc", "pdf", "jpg", "png"):
            words.append(" ".join(part.upper()))
        else:
            words.append(part)
    return re.sub(r"(?<=[A-Za-z])(?=[A-Za-z])", "", " ".join(words)).replace(" 点 ", "点").replace(" 艾特 ", "艾特")


def _telephone(match: re.Match[str]) -> str | None:
    digits = re.sub(r"\D", "", match[0])
    if not 7 <= len(digits) <= 15 or re.fullmatch(r"\d{4}-\d{2}-\d{2}", match[0]):
        return None
    groups = re.findall(r"\d+", match[0])
    if len(groups) == 1 and len(digits) == 11:
        groups = [digits[:3], digits[3:7], digits[7:]]
    return ("加" if match[0].startswith("+") else "") + "，".join(map(_digits_of_telephone, groups))


def _dates_and_times() -> list[Rule]:
    units = "|".join(map(re.escape, UNITS))
    no_measure = rf"(?![\d%‰°,]|\.\d|\ ?(?:{MEASURES})|\ ?(?:{units})(?![A-Za-z]))"
    half = r"(?:\ ?(?P<half>[AaPp])\.?[Mm]\.?(?![A-Za-z]))"
    return [
        rule(
            rf"{START}(?P<year>\d{{4}})(?P<sep>[-/.])(?P<month>\d{{1,2}})(?P=sep)(?P<day>\d{{1,2}})(?:日|号)?(?![A-Za-z\d]|[-/]\d)",
            lambda m: _date(m["year"], m["month"], m["day"]),
        ),
        rule(
            rf"{START}(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<year>\d{{4}})(?![A-Za-z\d]|[-/]\d)",
            lambda m: _date(m["year"], m["b"], m["a"]) or _date(m["year"], m["a"], m["b"]),
        ),
        rule(
            rf"(?P<before>(?:约好|定在|截至|日期)[:：]?){START}(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})(?![\d/])",
            lambda m: f"{m['before']}{_cardinal(str(int(m['month'])))}月{_cardinal(str(int(m['day'])))}日",
        ),
        rule(rf"{START}(\d{{4}})[-–~至到]+(\d{{4}})(?=年)", lambda m: f"{_spelt(m[1])}到{_spelt(m[2])}"),
        rule(rf"{START}(\d{{4}}|0\d)(?=年(?!前|后|内|来|以|的时间|历史|代之))", lambda m: _spelt(m[1])),
        rule(rf"{START}([1-9]\d{{3}})(?=年)", lambda m: _spelt(m[1]) if "1100" < m[1] < "2100" else None),
        rule(rf"{START}([6-9]\d)(?=年(?!代|前|后|内|来|以|历史|间|了|多|的|之))", lambda m: _spelt(m[1])),
        rule(rf"{START}(\d|1[0-2])(?=月(?:份|底|初|中|末|\d|上|下|$|[，。,.]))", lambda m: _cardinal(m[1])),
        rule(rf"{START}0(\d)(?=[月日号])", lambda m: _cardinal(m[1])),
        rule(
            rf"(?P<part>上午|下午|早上|晚上|凌晨|中午|傍晚|夜里)?\ ?{START}(?P<hour>[01]?\d|2[0-4])"
            rf"[:：](?P<minute>[0-5]\d)(?:[:：](?P<second>[0-5]\d))?{half}?(?![\d:])",
            _time,
        ),
        rule(rf"(?P<part>){START}(?P<hour>1[0-2]|0?\d)(?P<minute>)(?P<second>){half}", _time),
        rule(rf"{START}(\d{{1,2}})点(0\d)分?", lambda m: f"{_counted(m[1])}点零{_cardinal(m[2][1])}分"),
        rule(
            rf"{START}({YEAR})\ ?[-–—~至到]\ ?({YEAR}){no_measure}",
            _years,
        ),
        rule(rf"(?:{BEFORE_YEARS})[，,：\ ]?{START}({YEAR}){no_measure}"
             r"(?!左右|以上|以下|上下|[分级涨降跌减]"
            r"|升[至到]|增[至到加]|提[高升]|加[到至]"
            rf"|\ ?[-–—~至到]\ ?\d+(?:{MEASURES}))", _year_behind),
        rule(rf"{START}((?:19|20)\d\d)(?=\ ?(?:{BEHIND_YEARS}))", lambda m: _spelt(m[1])),
        rule(
            rf"{START}((?:19|20)\d\d){no_measure}(?=[\u4e00-\u9fff]{{1,4}}?(?:{BEHIND_YEARS}))",
            lambda m: _spelt(m[1]),
        ),
        rule(rf"{START}((?:19|20)(?!00)\d\d)(?=款)", lambda m: _spelt(m[1])),
        rule(rf"{START}(\d[05])(?=后(?!来|天|面|边|退|悔|果|再))", lambda m: _spelt(m[1])),
    ]  # fmt: skip


def _date(year: str, month: str, day: str) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{_spelt(year)}年{an2cn(str(int(month)), 'low')}月{an2cn(str(int(day)), 'low')}日"


def _year_behind(match: re.Match[str]) -> str:
    """What stands before a year, and the year digit by digit."""
    return match[0][: match.start(1) - match.start()] + _spelt(match[1])


def _years(match: re.Match[str]) -> str | None:
    """From one year to another; two round numbers are amounts."""
    first, last = match[1], match[2]
    if first >= last or first.endswith("00") and last.endswith("00"):
        return None
    return f"{_spelt(first)}到{_spelt(last)}"


def _time(match: re.Match[str]) -> str | None:
    hour, minute, second = int(match["hour"]), match["minute"], match["second"]
    if hour == 24 and minute != "00":
        return None
    part = match["part"] or ""
    if match["half"] and not part:
        part = "上午" if match["half"] in "Aa" else "下午" if hour in (12, *range(1, 6)) else "晚上"
    said = f"{part}{_counted(str(hour))}点"
    if minute and minute != "00":
        said += (
            f"零{_cardinal(minute[1])}分"
            if minute[0] == "0"
            else "半"
            if minute == "30" and not second
            else f"{_cardinal(minute)}分"
        )
    elif second:
        said += "零分"
    return said + (f"{_cardinal(str(int(second)))}秒" if second else "")


def _numbers() -> list[Rule]:
    money = "|".join(map(re.escape, sorted((key for key in CURRENCIES if not key.isalpha()), key=len, reverse=True)))
    codes = "|".join(CODES)
    units = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
    size = r"(?P<size>[万亿千百]+|k|K|M|B)?"
    return [
        rule(
            rf"(?:(?P<sign>{money})|(?<![A-Za-z])(?P<code>{codes}))\ ?(?P<amount>{NUMBER})\ ?{size}"
            rf"(?:[-–~到至]{{1,2}}(?P<to>{NUMBER})(?P<to_size>[万亿千百]+)?(?![\d.A-Za-z%]))?(?:元|美元)?",
            _money,
        ),
        rule(
            rf"{START}(?P<amount>{NUMBER})\ ?{size}\ ?(?:(?P<sign>{money})|(?P<code>{codes})(?![A-Za-z]))"
            r"(?P<to>)(?P<to_size>)",
            _money,
        ),
        rule(
            rf"(?<![A-Za-z])({'|'.join(BOOK_NUMBERS)})\.\ ?(\d+(?:\.\d+)*)(?![\d.]*[A-Za-z\d])",
            _book_number,
            re.IGNORECASE,
        ),
        rule(r"(?<![A-Za-z])N[oO](\d+)(?![\d.]*[A-Za-z\d])", lambda m: f"第{_cardinal(m[1])}"),
        rule(r"(?<=[A-Za-z])\.(?=\d)", lambda m: " "),
        rule(r"第([IVX]+)(?=[章节卷部集季篇回册幕条代届次期])",
             lambda m: f"第{_cardinal(str(ROMAN.index(m[1])))}" if m[1] in ROMAN else None),
        rule(r"(?<=[\w)])\ ?[-=]>\ ?(?=[\w(])", lambda m: "到"),
        rule(r"(?:(?<=[^\W_])|(?<=\)))\ ?([<>]=?)\ ?(?=[^\W_]|[(.+-])|([<>]=?)\ ?(?=[.+-]?\d)", _compared),
        rule(r"(?<![\d)A-Za-z])-(?=\.?\d+(?:\.\d+)?\ ?°)", lambda m: "零下"),
        rule(r"(?<![\d)A-Za-z月日号点%])-(?=[$€£¥]?\.?\d)", lambda m: "负"),
        rule(r"(?<=\d)\ ?-\ ?(?=\d[\d.,]*\ ?=)", lambda m: "减"),
        rule(r"(?<=[\d%年月日号点分万亿])\ ?[-–—~]{1,2}\ ?(?=[$€£¥]?\.?\d)", lambda m: "到"),
        rule(rf"{START}(?P<first>{NUMBER})\ ?[-–~]\ ?(?P<second>{NUMBER})\ ?(?P<sign>[%‰])",
             lambda m: f"百分之{_number(m['first'])}到百分之{_number(m['second'])}"),
        rule(rf"{START}(?P<first>{NUMBER})\ ?[-–~]\ ?(?P<second>{NUMBER})(?P<unit>{units})(?![A-Za-z²³]|/[A-Za-z])",
             lambda m: f"{_number(m['first'])}到{_number(m['second'])}{UNITS[m['unit']]}"),
        rule(r"(?<=\d)\ ?:\ ?(?=\d)", lambda m: "比"),
        rule(r"(?<=\d)\ ?[x×*]\ ?(?=\d)", lambda m: "乘"),
        rule(rf"{START}(?P<number>{NUMBER})\ ?(?P<sign>[%‰])",
             lambda m: f"{'百' if m['sign'] == '%' else '千'}分之{_number(m['number'])}"),
        rule(rf"{START}24/7(?![\d/])", lambda m: "二十四乘七"),
        rule(
            rf"{START}(?:(?P<whole>\d+)\ )?(?P<top>\d{{1,3}})/(?P<bottom>\d{{1,3}})(?![A-Za-z\d/])",
            lambda m: _fraction(m["whole"], m["top"], m["bottom"]),
        ),
        rule(r"(?:(?P<whole>\d+)\ ?)?(?P<sign>[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", _vulgar_fraction),
        rule(rf"{START}(?P<number>{NUMBER})\ ?(?P<unit>{units})(?![A-Za-z²³]|/[A-Za-z])",
             lambda m: f"{_counted(m['number'])}{UNITS[m['unit']]}"),
        rule(rf"{START}(?P<number>\d+(?:\.\d+)?)\ ?(?P<unit>[KMGT]B)(?![A-Za-z])",
             lambda m: f"{_number(m['number'])} {' '.join(m['unit'])}"),
        rule(r"(?<=\d)\^(-?)(\d+)", lambda m: f"的{'负' if m[1] else ''}{_number(m[2])}次方"),
        rule(r"(?<=[\w)])([²³])", lambda m: "的平方" if m[1] == "²" else "的立方"),
        rule(rf"(?<![A-Za-z\d.第十百千初周期礼拜])2(?=\ ?(?:{MEASURES})(?!月))", _two),
        rule(r"(?<=[A-Za-z])-?(\d{3,})(?![\d.])", lambda m: _spelt(m[1])),
        rule(r"(?<=[A-Za-z])-(?=\d)", lambda m: " "),
        rule(rf"(?P<number>{NUMBER})", lambda m: _number(m["number"])),
    ]  # fmt: skip


def _compared(match: re.Match[str]) -> str | None:
    """A sign between two amounts; a pair of them stands around a title, unless numbers or letters are compared."""
    sign = match[1] or match[2]
    before, after = ahead(match), behind(match)
    clause = r"[^<>，。！？；,!?;]*"
    pair = re.match(f"{clause}>", after) if sign[0] == "<" else re.search(f"<{clause}$", before)
    if pair and not (before[-1:].isascii() and before[-1:].isalnum() and after[:1].isascii()):
        return None
    return ("大于" if sign[0] == ">" else "小于") + ("等于" if len(sign) > 1 else "")


def _book_number(match: re.Match[str]) -> str:
    said = "点".join(_cardinal(part) for part in match[2].split("."))
    return BOOK_NUMBERS[match[1].lower()].format(said)


def _two(match: re.Match[str]) -> str | None:
    """两 before a measure; but 二月, 二号, and 二 at the end of a row of signs stay."""
    rest = match.string[match.end() : match.end() + 3].lstrip()
    if re.match(r"分之|月(?!亮)|日|号|楼|班|年级|等|路|环", rest):
        return None
    return "两"


def _money(match: re.Match[str]) -> str | None:
    sign = match["sign"] or CODES[match["code"]]
    name, size = CURRENCIES[sign], _size(match["size"])
    if match["to"]:
        return f"{_number(match['amount'])}{size}到{_number(match['to'])}{match['to_size'] or ''}{name}"
    amount = re.sub(r"(\.\d)0$|\.00$", r"\1", match["amount"])
    return f"{_counted(amount)}{size}{name}"


def _size(sign: str | None) -> str:
    return {"k": "千", "K": "千", "M": "百万", "B": "十亿"}.get(sign or "", sign or "")


def _fraction(whole: str | None, top: str, bottom: str) -> str | None:
    if int(bottom) == 0:
        return None
    said = f"{_cardinal(str(int(bottom)))}分之{_cardinal(str(int(top)))}"
    return f"{_cardinal(whole)}又{said}" if whole else said


def _vulgar_fraction(match: re.Match[str]) -> str | None:
    top, _, bottom = unicodedata.normalize("NFKC", match["sign"]).partition("⁄")
    return _fraction(match["whole"], top, bottom)


def _words_and_signs() -> list[Rule]:
    signs = "".join(map(re.escape, SIGNS))
    return [
        rule(r"(?<![A-Za-z])[A-Z]{1,4}(?:&[A-Z]{1,4})+(?![A-Za-z])", lambda m: " and ".join(m[0].split("&"))),
        rule(r"(?<![A-Za-z])(?!OK(?![A-Za-z]))([A-Z]+(?:'[A-Z]+)+|[A-Z]{2,})(s?)(?![A-Za-z])",
             lambda m: spelt_capitals(m[1], m[2])),
        rule(r"(?<![A-Za-z])(μm|μs|μg|kΩ|MΩ|km/h|m/s|°C|°F|km²|m²|cm²|m³|cm³)(?![A-Za-z])", lambda m: UNITS[m[1]]),
        rule(f"([{''.join(GREEK)}{''.join(GREEK).upper()}])", lambda m: (GREEK | GREEK_LETTERS).get(m[1].lower())),
        rule(r"(?<=[A-Za-z])\ ?&\ ?(?=[A-Za-z])", lambda m: " and "),
        rule(r"\ ?/\ ?(?=(?:天|日|周|月|年|小时|分钟|秒|人|次|个|公斤|斤|米|平方米))", lambda m: "每"),
        rule(f"([{signs}])", lambda m: SIGNS[m[1]]),
        rule(r"([$€£¥₩₹₽₿฿₫])", lambda m: CURRENCIES[m[1]]),
        rule(r"~+", lambda m: ""),
        rule(r"_", lambda m: " "),
    ]  # fmt: skip
