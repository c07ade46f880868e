# shellcheck shell=bash
# The lab's certificates. Two authorities: libvirtd and its clients trust the one, QEMU in a migration the other. A
# guest that breaks out of its QEMU can read QEMU's key, and must not become a client of libvirtd by it.

PKI="$RUN/pki"
DAYS=3650

make_authorities() {
    make_authority libvirt
    make_authority qemu
}

# make_authority NAME
make_authority() {
    [ ! -s "$PKI/$1-ca.pem" ] || return 0
    mkdir -p "$PKI"
    chmod 700 "$PKI"
    must "the certificate authority $1" pki openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days "$DAYS" -subj "/O=minicompute lab/CN=$LAB_NAME $1" -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -keyout "$PKI/$1-ca.key" -out "$PKI/$1-ca.pem.new"
    mv "$PKI/$1-ca.pem.new" "$PKI/$1-ca.pem"
}

# make_certificate AUTHORITY NAME ADDRESS DIRECTORY: cert.pem and key.pem for both ends of a connection.
make_certificate() {
    local ca="$PKI/$1-ca" directory="$4"
    [ ! -s "$directory/cert.pem" ] || return 0
    mkdir -p "$directory"
    must "a key for $2" pki openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/O=minicompute lab/CN=$2" -keyout "$directory/key.pem" -out "$directory/request.pem"
    must "a certificate for $2" pki openssl x509 -req -in "$directory/request.pem" -CA "$ca.pem" -CAkey "$ca.key" \
        -CAcreateserial -days "$DAYS" -out "$directory/cert.pem.new" -extfile <(
            printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature,keyEncipherment' \
                'extendedKeyUsage=serverAuth,clientAuth' "subjectAltName=DNS:$2,DNS:localhost,IP:$3,IP:127.0.0.1"
        )
    rm -f "$directory/request.pem"
    mv "$directory/cert.pem.new" "$directory/cert.pem"
}

# make_pki HOST ADDRESS DIRECTORY: the files under the names that libvirt and QEMU look for.
make_pki() {
    make_certificate libvirt "$1" "$2" "$3/libvirt"
    link_files "$3/libvirt" cert.pem:clientcert.pem key.pem:clientkey.pem
    cp "$PKI/libvirt-ca.pem" "$3/libvirt/cacert.pem"
    make_certificate qemu "$1" "$2" "$3/qemu"
    link_files "$3/qemu" cert.pem:server-cert.pem key.pem:server-key.pem cert.pem:client-cert.pem key.pem:client-key.pem
    cp "$PKI/qemu-ca.pem" "$3/qemu/ca-cert.pem"
    # QEMU reads them itself.
    chown libvirt-qemu "$3/qemu/key.pem"
}

# link_files DIRECTORY FILE:NAME...
link_files() {
    local directory="$1" pair
    shift
    for pair in "$@"; do ln -sfn "${pair%%:*}" "$directory/${pair#*:}"; done
}
