# Flattens a JSON document: one line `POINTER<tab>VALUE` for each scalar but null, pointers as in RFC 6901.
# Values keep four escapes, \\ \n \r \t, so that one value is one line; other control characters are dropped.
# Exits with 1 if the document is not JSON. Strings are found by splitting at quotes, which takes linear time.

BEGIN { RS = "\""; FS = "\001"; depth = 0; need = "value" }

bad { next }

quoted {
    text = text $0
    # An odd number of backslashes before a quote: the quote belongs to the string.
    if (match($0, /\\+$/) && RLENGTH % 2) { text = text "\""; next }
    quoted = 0
    string(text)
    next
}

{ outside($0); quoted = 1; text = "" }

END { exit bad || depth != 0 || need != "done" }

function outside(s,    word) {
    while (s != "" && !bad) {
        if (match(s, /^[ \t\r\n]+/)) { s = substr(s, RLENGTH + 1); continue }
        if (match(s, /^[-+.0-9A-Za-z]+/)) {
            word = substr(s, 1, RLENGTH)
            s = substr(s, RLENGTH + 1)
            literal(word)
            continue
        }
        mark(substr(s, 1, 1))
        s = substr(s, 2)
    }
}

function mark(c) {
    if ((c == "{" || c == "[") && (need == "value" || need == "item")) open(c)
    else if (c == "}" && kind[depth] == "{" && (need == "next" || need == "first")) close_one()
    else if (c == "]" && kind[depth] == "[" && (need == "next" || need == "item")) close_one()
    else if (c == ":" && need == "colon") need = "value"
    else if (c == "," && need == "next") {
        need = kind[depth] == "{" ? "key" : "value"
        position[depth]++
    } else bad = 1
}

function open(c) {
    prefix[depth + 1] = here()
    depth++
    kind[depth] = c
    position[depth] = 0
    # Straight after `{` and `[`, the end is allowed too.
    need = c == "{" ? "first" : "item"
    if (depth > 32) bad = 1
}

function close_one() {
    delete kind[depth]
    depth--
    need = depth ? "next" : "done"
}

function here() {
    if (depth == 0) return ""
    return prefix[depth] "/" (kind[depth] == "{" ? key[depth] : position[depth])
}

function literal(s) {
    if (s !~ /^(true|false|null|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)$/) bad = 1
    scalar(s, s != "null")
}

function string(s) {
    s = decode(s)
    if (need == "key" || need == "first") {
        gsub(/~/, "~0", s)
        gsub(/\//, "~1", s)
        key[depth] = s
        need = "colon"
    } else scalar(s, 1)
}

function scalar(s, wanted) {
    if (need != "value" && need != "item") { bad = 1; return }
    if (wanted && !bad) print here() "\t" s
    need = depth ? "next" : "done"
}

function decode(s,    out, c) {
    if (s ~ /[\001-\037]/) { bad = 1; return "" }
    out = ""
    while (match(s, /\\/)) {
        out = out substr(s, 1, RSTART - 1)
        c = substr(s, RSTART + 1, 1)
        s = substr(s, RSTART + 2)
        if (c == "\"" || c == "/") out = out c
        else if (c == "\\" || c == "n" || c == "r" || c == "t") out = out "\\" c
        else if (c == "u") { out = out character(s); s = substr(s, used + 1) }
        else if (c != "b" && c != "f") { bad = 1; return "" }
    }
    return out s
}

# The character of the hex digits that s starts with, as UTF-8; `used` is how many characters it took.
function character(s,    code, low) {
    code = hex(substr(s, 1, 4))
    used = 4
    if (code >= 55296 && code < 56320 && substr(s, 5, 2) == "\\u") {
        low = hex(substr(s, 7, 4))
        if (low >= 56320 && low < 57344) {
            used = 10
            code = 65536 + (code - 55296) * 1024 + low - 56320
        }
    }
    if (code == 9) return "\\t"
    if (code == 10) return "\\n"
    if (code == 13) return "\\r"
    if (code == 92) return "\\\\"
    if (code < 32) return ""
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return byte(192 + int(code / 64)) tail(code)
    if (code >= 55296 && code < 57344) return "?"
    if (code < 65536) return byte(224 + int(code / 4096)) tail(int(code / 64)) tail(code)
    return byte(240 + int(code / 262144)) tail(int(code / 4096)) tail(int(code / 64)) tail(code)
}

function byte(n) { return sprintf("%c", n) }

function tail(n) { return sprintf("%c", 128 + n % 64) }

function hex(s,    i, n) {
    if (s !~ /^[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]$/) { bad = 1; return 0 }
    n = 0
    for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
    return n
}
