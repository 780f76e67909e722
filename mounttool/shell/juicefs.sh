#!/bin/sh
# What is done once for a JuiceFS volume, in the environment that backends/_volume.py sets:
# VOLUME META META_PASSWORD STORAGE BUCKET ACCESS_KEY SECRET_KEY ENGINE DB_HOST DB_PORT DB_USER DB_NAME DB_CA
# Passwords are in the environment, where each client looks for its own; never in an argument.
# Uses run, refuse, hint, note and warn of prelude.sh.
# shellcheck shell=sh disable=SC2154 # scratch is the prelude's; the capitals are the environment

jfs_redis() {
    client=redis-cli
    command -v "$client" >/dev/null || client=redis6-cli # Amazon Linux 2023
    set -- --no-auth-warning -h "$DB_HOST" -p "$DB_PORT" "$@"
    [ -z "$DB_USER" ] || set -- --user "$DB_USER" "$@"
    [ "$ENGINE" != rediss ] || set -- --tls "$@"
    [ -z "$DB_CA" ] || set -- --cacert "$DB_CA" "$@"
    REDISCLI_AUTH=$META_PASSWORD timeout 10 "$client" "$@"
}

# The one value of a setting; empty where CONFIG is refused.
jfs_redis_setting() { jfs_redis config get "$1" 2>/dev/null | sed -n 2p; }

jfs_redis_is_sound() {
    answer=$(jfs_redis ping 2>&1)
    if [ "$answer" != PONG ]; then
        refuse "Redis at $DB_HOST:$DB_PORT answers: ${answer:-nothing}"
        return 1
    fi
    policy=$(jfs_redis_setting maxmemory-policy)
    if [ -z "$policy" ]; then
        warn "Redis at $DB_HOST:$DB_PORT does not let us read its configuration: see for yourself that maxmemory-policy is noeviction and that it persists"
        return 0
    fi
    if [ "$policy" != noeviction ]; then
        refuse "Redis at $DB_HOST:$DB_PORT has maxmemory-policy $policy: it would drop metadata, and with it checkpoints"
        return 1
    fi
    if [ "$(jfs_redis_setting appendonly)" != yes ] && [ -z "$(jfs_redis_setting save)" ]; then
        refuse "Redis at $DB_HOST:$DB_PORT does not persist (appendonly no, save empty): its restart would lose the volume"
        return 1
    fi
}

# Only looking is left for the action: what Redis lacks is the administrator's to set.
jfs_redis_make_sound() {
    hint "set maxmemory-policy noeviction and appendonly yes on it, and check metadata_password"
    jfs_redis_is_sound
}

jfs_mysql() {
    client=mariadb
    command -v "$client" >/dev/null || client=mysql
    MYSQL_PWD=$META_PASSWORD "$client" --connect-timeout=10 -h "$DB_HOST" -P "$DB_PORT" -u "$DB_USER" -N -B --unbuffered "$@"
}

jfs_psql() {
    PGPASSWORD=$META_PASSWORD PGCONNECT_TIMEOUT=10 PGSSLROOTCERT=$DB_CA psql -X -q -t -A -h "$DB_HOST" -p "$DB_PORT" -U "$DB_USER" -d postgres "$@"
}

jfs_database_is() {
    case $ENGINE in
        mysql) found=$(jfs_mysql -e "select count(*) from information_schema.schemata where schema_name = '$DB_NAME'") ;;
        postgres) found=$(jfs_psql -c "select count(*) from pg_database where datname = '$DB_NAME'") ;;
    esac
    [ "$found" = 1 ]
}

jfs_database_make() {
    case $ENGINE in
        mysql) run jfs_mysql -e "create database if not exists \`$DB_NAME\`" ;;
        # Another node may have been quicker; the test afterwards tells.
        postgres) run jfs_psql -c "create database \"$DB_NAME\"" || jfs_database_is ;;
    esac
}

# One value of `juicefs status`, which prints one setting a line.
jfs_setting() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$scratch/status" | sed -n 1p; }

# 0: the volume is there as declared; 1: it is not there; 2: refused, with the reason printed.
jfs_volume_look() {
    if ! timeout 60 juicefs status "$META" >"$scratch/status" 2>"$scratch/status-log"; then
        grep -q 'not formatted' "$scratch/status-log" && return 1
        sed 's/^.*<[A-Z]*>: //; s/ \[[a-z_]*\.go:[0-9]*\]$//' "$scratch/status-log" | grep . | tail -n 5
        return 2
    fi
    there="name=$(jfs_setting Name) storage=$(jfs_setting Storage) bucket=$(jfs_setting Bucket)"
    wanted="name=$VOLUME storage=$STORAGE bucket=$BUCKET"
    [ "$there" = "$wanted" ] && return 0
    hint "declare the volume that is there, or give another Redis database or SQL database for the new one; nothing was changed"
    refuse "the metadata engine holds another volume: $there; the configuration says: $wanted"
    return 2
}

# JuiceFS would create a bucket whose name was mistyped. The keys reach curl on its standard input; without keys, S3
# tells strangers too that a bucket is not there (404), though not what is in one (403).
jfs_bucket_is_missing() {
    case $BUCKET in http*) ;; *) return 1 ;; esac
    command -v curl >/dev/null || return 1
    region=$(printf '%s' "$BUCKET" | sed -n 's/.*[./]s3[.-]\([a-z0-9-]*\)\.amazonaws\.com.*/\1/p')
    answer=$({
        printf 'silent\nhead\nmax-time = 10\noutput = /dev/null\nwrite-out = "%%{http_code}"\nurl = "%s"\n' "$(jfs_curl_escape "$BUCKET")"
        [ -z "$ACCESS_KEY" ] || printf 'aws-sigv4 = "aws:amz:%s:s3"\nuser = "%s:%s"\n' "${region:-us-east-1}" \
            "$(jfs_curl_escape "$ACCESS_KEY")" "$(jfs_curl_escape "$SECRET_KEY")"
    } | curl -K - 2>/dev/null)
    [ "$answer" = 404 ]
}

jfs_curl_escape() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

jfs_volume_is() { jfs_volume_look; }

jfs_volume_make() {
    case $ENGINE in
        redis | rediss) jfs_lock_redis ;;
        mysql | postgres) jfs_lock_sql ;;
        sqlite3) exec 8>"$DB_NAME.lock" && flock -w 90 8 ;;
    esac || { refuse "another provision of $VOLUME held its lock for 90 s"; return 1; }
    # Others may have formatted it while this node waited for the lock.
    jfs_volume_look
    status=$?
    if [ "$status" = 1 ] && jfs_bucket_is_missing; then
        hint "create the bucket, or correct its address"
        refuse "there is no bucket at $BUCKET"
        status=2
    elif [ "$status" = 1 ]; then
        run juicefs format --no-update --storage "$STORAGE" --bucket "$BUCKET" --trash-days 0 "$META" "$VOLUME"
        status=$?
        [ "$status" != 0 ] || note "formatted"
    fi
    jfs_unlock
    return "$status"
}

# The lock lapses by itself when its holder dies.
jfs_lock_redis() {
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    waited=0
    until [ "$(jfs_redis set "mounttool:provision:$VOLUME" "$token" NX EX 120)" = OK ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 90 ] || return 1
        sleep 1
    done
}

# An SQL lock lives as long as its session: a client that stays connected while its standard input is open.
jfs_lock_sql() {
    mkfifo "$scratch/session" || return 1
    case $ENGINE in
        mysql) jfs_mysql <"$scratch/session" >"$scratch/granted" & ;;
        postgres) jfs_psql <"$scratch/session" >"$scratch/granted" & ;;
    esac
    exec 8>"$scratch/session"
    case $ENGINE in
        mysql) echo "select get_lock('mounttool:$VOLUME', 90) = 1;" >&8 ;;
        postgres) echo "set lock_timeout = '90s'; select pg_advisory_lock(hashtext('mounttool:$VOLUME')) is not null;" >&8 ;;
    esac
    waited=0
    until grep -q '^[1t]' "$scratch/granted"; do
        waited=$((waited + 1))
        [ "$waited" -lt 950 ] || return 1
        sleep 0.1
    done
}

jfs_unlock() {
    case $ENGINE in
        redis | rediss)
            jfs_redis eval "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end" \
                1 "mounttool:provision:$VOLUME" "$token" >/dev/null
            ;;
        *)
            exec 8>&-
            wait
            ;;
    esac
}
