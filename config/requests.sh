#!/bin/sh
# Sends three requests of the sample company to a running gateway, and prints the answers and their metrics.
# usage: sh requests.sh [ADDRESS [ADMIN]]
#   ADDRESS  where the gateway accepts calls (default: 127.0.0.1:8080)
#   ADMIN    where it serves metrics (default: 127.0.0.1:9464)
# The gateway accepts the header that names alice, because the sample settings trust this machine like a proxy.

calls=${1:-127.0.0.1:8080}
admin=${2:-127.0.0.1:9464}

request() { # title, action, address of the client
    echo "# $1"
    curl -s "http://$calls/" -H 'Host: aiart.tencentcloudapi.com' -H "X-TC-Action: $2" \
        -H 'X-TC-Version: 2022-12-29' -H 'Content-Type: application/json' \
        -H 'X-Camguard-Principal: uin/100000000101' -H "X-Forwarded-For: $3" -d '{}'
    echo
}

request "allowed: alice calls from the office" TextToImage 10.1.2.3
request "refused: alice calls from another address" TextToImage 198.51.100.7
request "refused: no policy of alice allows this action" SetPayMode 10.1.2.3
echo "# the decisions that the gateway has counted"
curl -s "http://$admin/metrics" | grep '^camguard_decisions_total' | grep -v ' 0\.0$'
