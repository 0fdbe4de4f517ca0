#!/usr/bin/env bash
# One root, and under it an intermediate CA for each cluster, so that all clusters share one trust domain.
#   make-cas.sh FOLDER CLUSTER [CLUSTER…]
# FOLDER/root has the root's key: it belongs in a safe, in no cluster. FOLDER/CLUSTER has the four files of the Secret
# `cacerts`. What is there already stays, so a cluster can be added later.
# ROOT_DAYS (3650) and CA_DAYS (730) say how long they last.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1
shift
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# A request has the name; what may be done with the certificate stands in the extensions, once for each kind.
request() { # KEY COMMON_NAME OUT
  openssl req -new -sha256 -key "$1" -subj "/O=catalog mesh/CN=$2" -out "$3"
}

make_root() {
  mkdir -p "$folder/root"
  key "$folder/root/root-key.pem"
  request "$folder/root/root-key.pem" "root" "$folder/root/root.csr"
  openssl x509 -req -sha256 -days "${ROOT_DAYS:-3650}" -in "$folder/root/root.csr" \
    -signkey "$folder/root/root-key.pem" -out "$folder/root/root-cert.pem" -extfile <(printf '%s\n' \
    'basicConstraints=critical,CA:true' 'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash')
  rm "$folder/root/root.csr"
}

make_intermediate() { # CLUSTER
  local place=$folder/$1
  mkdir -p "$place"
  key "$place/ca-key.pem"
  request "$place/ca-key.pem" "$1" "$place/ca.csr"
  # pathlen:0: it signs workloads, and no further CA.
  openssl x509 -req -sha256 -days "${CA_DAYS:-730}" -in "$place/ca.csr" \
    -CA "$folder/root/root-cert.pem" -CAkey "$folder/root/root-key.pem" -CAcreateserial \
    -out "$place/ca-cert.pem" -extfile <(printf '%s\n' \
    'basicConstraints=critical,CA:true,pathlen:0' 'keyUsage=critical,digitalSignature,keyCertSign,cRLSign' \
    'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid' 'subjectAltName=DNS:istiod.istio-system.svc')
  rm "$place/ca.csr"
  cat "$place/ca-cert.pem" "$folder/root/root-cert.pem" >"$place/cert-chain.pem"
  cp "$folder/root/root-cert.pem" "$place/root-cert.pem"
}

[ -e "$folder/root/root-key.pem" ] || make_root
for cluster in "$@"; do
  case $cluster in
    root | *[!a-z0-9-]* | "") echo "make-cas.sh: no name for a cluster: '$cluster'" >&2; exit 2 ;;
  esac
  [ -e "$folder/$cluster/ca-key.pem" ] || make_intermediate "$cluster"
  echo "kubectl --context=$cluster create secret generic cacerts -n istio-system --from-file=$folder/$cluster"
done
