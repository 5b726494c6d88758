#!/bin/sh
# Runs nginx with TLS, and the gateway behind it, on this machine: to try SDKs with the files of this folder.
# usage: sh config/deploy/try.sh FOLDER [PORT]
#   FOLDER  is made, and gets everything that is written: settings, sample company, keys, certificate, logs
#   PORT    of nginx (default: 8443)
# Needs camguard with the extra serve, nginx and openssl. Ctrl-C ends both programs. CAMGUARD_GATEWAY__LISTEN and
# CAMGUARD_GATEWAY__ADMIN move the gateway to other ports. The gateway answers allowed calls itself (echo), and the office of
# the sample company, from which alice may call, is this machine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
port=${2:-8443}
listen=${CAMGUARD_GATEWAY__LISTEN:-127.0.0.1:8080}
export CAMGUARD_UPSTREAM__DEFAULT=echo
PATH=$PATH:/usr/sbin # where Debian has nginx
for program in camguard nginx openssl python3; do
    command -v "$program" > /dev/null || { echo "try.sh: $program is not installed, or not in PATH" >&2; exit 1; }
done

camguard init "$1" > /dev/null
folder=$(cd "$1" && pwd)
export CAMGUARD_DECISION_LOG__PATH="$folder/decisions.log"
cp "$here/camguard.toml" "$folder/camguard.toml"
policy=bundle/policies/aiart-create.json
sed 's|10\.1\.0\.0/16|127.0.0.0/8|' "$here/../$policy" > "$folder/$policy"

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=camguard, to try' -keyout "$folder/gateway.key" \
    -out "$folder/gateway.crt" -addext 'subjectAltName=DNS:*.gateway.example' 2> /dev/null
mkdir "$folder/nginx" "$folder/nginx/bodies" "$folder/nginx/answers"
sed "s|127\.0\.0\.1:8080|$listen|" "$here/nginx/camguard-upstream.conf" > "$folder/nginx/camguard-upstream.conf"
sed "s|listen 443 |listen 127.0.0.1:$port |; s|/etc/nginx/tls/|$folder/|; s|/var/log/nginx/|$folder/nginx/|" \
    "$here/nginx/camguard.conf" > "$folder/nginx/camguard.conf"
{
    if [ "$(id -u)" = 0 ]; then echo "user root;"; fi # only root may open the folder
    cat <<END
daemon off;
pid $folder/nginx/pid;
events { }
http {
    client_body_temp_path $folder/nginx/bodies;
    proxy_temp_path $folder/nginx/answers;
    fastcgi_temp_path $folder/nginx/answers;
    uwsgi_temp_path $folder/nginx/answers;
    scgi_temp_path $folder/nginx/answers;
    include $folder/nginx/camguard*.conf;
}
END
} > "$folder/nginx/nginx.conf"

# The key of alice, for the programs in sdk/; nobody else may read the file.
(umask 077 && python3 - "$folder" "$port" > "$folder/env" <<'END'
import json
import sys

folder, port = sys.argv[1:]
with open(f"{folder}/keys.json", encoding="utf-8") as file:
    rows = json.load(file).items()
secret_id, row = next(each for each in rows if each[1]["principal"] == "uin/100000000101")
print(f"export TENCENTCLOUD_SECRET_ID={secret_id}")
print(f"export TENCENTCLOUD_SECRET_KEY={row['secret_key']}")
print(f"export CAMGUARD_HOST=aiart.gateway.example:{port}")
print(f"export CAMGUARD_CA={folder}/gateway.crt NODE_EXTRA_CA_CERTS={folder}/gateway.crt")
END
)

camguard serve --config "$folder/camguard.toml" &
gateway=$!
nginx -e stderr -c "$folder/nginx/nginx.conf" &
front=$!
trap 'kill "$gateway" "$front" 2> /dev/null; wait' EXIT
trap 'exit 0' INT TERM
python3 - "${listen%:*}" "${listen##*:}" "$port" <<'END'
import socket
import sys
import time

host, *ports = sys.argv[1:]
for address in ((host, ports[0]), ("127.0.0.1", ports[1])):
    for _ in range(100):
        try:
            socket.create_connection(address).close()
            break
        except OSError:
            time.sleep(0.1)
END
cat <<END
nginx listens on 127.0.0.1:$port. In another terminal:
  the name must lead here, once:   echo 127.0.0.1 aiart.gateway.example | sudo tee -a /etc/hosts
  the key, the host, the CA:       . $folder/env
  a call:                          python3 config/deploy/sdk/call.py TextToImage
END
wait "$front"
