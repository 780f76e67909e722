#!/bin/sh
# Asks every service a question that only a working one answers; prints "NAME running" or "NAME stopped", a line each.
ask() {
    name=$1
    shift
    if timeout 5 "$@" >/dev/null 2>&1; then echo "$name running"; else echo "$name stopped"; fi
}

REDISCLI_AUTH=$(cat /etc/lab/redis-password)
MYSQL_PWD=$(cat /etc/lab/mariadb-password)
PGPASSWORD=$(cat /etc/lab/postgres-password)
export REDISCLI_AUTH MYSQL_PWD PGPASSWORD
{
    ask redis sh -c 'redis-cli -h storage ping | grep PONG' &
    ask redis-tls sh -c 'redis-cli -h storage -p 6380 --tls --cacert /etc/lab/tls/ca.crt ping | grep PONG' &
    ask mariadb mariadb --host=storage --user=ops --execute='SELECT 1' &
    ask postgres psql --host=storage --username=ops --dbname=postgres --command='SELECT 1' &
    ask s3 curl -K /etc/lab/s3-curl.conf -I http://storage:8333/@bucket@ &
    ask nfs nc -z storage 2049 &
    ask nfs-tls sh -c 'openssl s_client -connect storage-tls:2049 -CAfile /etc/lab/tls/ca.crt -verify_return_error </dev/null' &
    ask mirror curl --silent -I http://storage:8080/ &
    wait
}
