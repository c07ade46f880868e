# What network_data.json, flattened by json.awk, says about the card with the address ENVIRON["MAC"]:
# lines `address A/P`, `route N/P GATEWAY`, `dns A`, `mtu N`, `dhcp`. Nothing if it does not know the card.
# Whatever is not an address or a number is dropped here.

BEGIN { FS = "\t"; mac = tolower(ENVIRON["MAC"]) }

{ value[$1] = $2; split($1, part, "/") }
part[2] == "links" && part[4] == "ethernet_mac_address" && tolower($2) == mac { link = part[3]; known = 1 }
part[2] == "networks" && part[3] + 1 > networks { networks = part[3] + 1 }

END {
    if (!known) exit
    id = value["/links/" link "/id"]
    if (value["/links/" link "/mtu"] ~ /^[0-9]+$/) print "mtu " value["/links/" link "/mtu"]
    for (n = 0; n < networks; n++)
        if (value["/networks/" n "/link"] == id) network("/networks/" n)
    for (i = 0; ("/services/" i "/type") in value; i++)
        if (value["/services/" i "/type"] == "dns") dns(value["/services/" i "/address"])
}

function network(at,    type, i) {
    type = value[at "/type"]
    if (type == "ipv4_dhcp") print "dhcp"
    if (type != "ipv4" && type != "ipv6") return
    line("address", value[at "/ip_address"], value[at "/netmask"])
    for (i = 0; (at "/routes/" i "/gateway") in value; i++)
        if (isaddress(value[at "/routes/" i "/gateway"]))
            line("route", value[at "/routes/" i "/network"], value[at "/routes/" i "/netmask"],
                 " " value[at "/routes/" i "/gateway"])
    for (i = 0; (at "/services/" i "/type") in value; i++)
        if (value[at "/services/" i "/type"] == "dns") dns(value[at "/services/" i "/address"])
    for (i = 0; (at "/dns_nameservers/" i) in value; i++) dns(value[at "/dns_nameservers/" i])
}

function line(word, address, mask, rest,    slash) {
    slash = index(address, "/")
    if (slash) { mask = substr(address, slash + 1); address = substr(address, 1, slash - 1) }
    mask = prefix(mask)
    if (isaddress(address) && mask != "") print word " " address "/" mask rest
}

function dns(address) { if (isaddress(address)) print "dns " address }

function isaddress(s) {
    return s ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/ || s ~ /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/
}

# A prefix length from 24, 255.255.255.0 or ffff:ffff::; empty if it is none of them.
function prefix(mask,    i, n, bits, digit, group) {
    if (mask ~ /^[0-9]+$/) return mask + 0 <= 128 ? mask + 0 : ""
    if (!isaddress(mask)) return ""
    bits = 0
    if (index(mask, ":")) {
        for (i = 1; i <= length(mask); i++) {
            digit = tolower(substr(mask, i, 1))
            if (digit == "f") bits += 4
            else if (digit == "e") bits += 3
            else if (digit == "c") bits += 2
            else if (digit == "8") bits += 1
        }
        return bits
    }
    n = split(mask, group, ".")
    for (i = 1; i <= n; i++)
        for (digit = 128; digit >= 1; digit /= 2)
            if (group[i] >= digit) { bits++; group[i] -= digit }
    return bits
}
