#!/bin/sh
# What a node asks of AWS with its instance's role: a parameter, a secret, an object of S3. By the aws command where it is,
# else by curl, which signs (7.75 and newer); keys reach curl on its standard input, never in an argument.
# Honoured: AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and its like, AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SERVICE,
# AWS_EC2_METADATA_SERVICE_ENDPOINT.
# A function that asks prints the answer, or the reason on standard error; status 1: asking again will not help, 2: it may.
# Set by the caller: scratch, a folder of root's own. It needs no other library. POSIX sh, equal under dash, bash and busybox.
# shellcheck disable=SC2154
aws_fail() {
    status=$1
    shift
    printf '%s\n' "$*" >&2
    return "$status"
}

# aws_patiently SECONDS COMMAND...: at boot neither the network nor the role's keys may be there yet.
aws_patiently() {
    aws_until=$(($(date +%s) + $1))
    shift
    while :; do
        "$@" 2>"$scratch/aws-reason" && return 0
        status=$?
        if [ "$status" != 2 ] || [ "$(date +%s)" -ge "$aws_until" ]; then
            cat "$scratch/aws-reason" >&2
            return "$status"
        fi
        sleep 2
    done
}

# aws_secret REFERENCE: ssm:NAME or secretsmanager:NAME[#KEY], as it is kept there.
aws_secret() {
    name=${1#*:} key=
    case $1 in
        ssm:*)
            answer=$(aws_ask ssm AmazonSSM.GetParameter "{\"Name\":\"$name\",\"WithDecryption\":true}" \
                get-parameter --with-decryption "--name=$name") || return
            set -- Parameter Value
            ;;
        *)
            case $name in *'#'*) key=${name#*#} name=${name%%#*} ;; esac
            answer=$(aws_ask secretsmanager secretsmanager.GetSecretValue "{\"SecretId\":\"$name\"}" \
                get-secret-value "--secret-id=$name") || return
            set -- SecretString
            ;;
    esac
    # The x keeps newlines at the end.
    answer=$(printf '%s' "$answer" | aws_json "$@" && echo x) || { aws_no_text "$?"; return; }
    if [ -n "$key" ]; then
        answer=$(printf '%s' "${answer%x}" | aws_json "$key" && echo x) || { aws_no_text "$?" "$key"; return; }
    fi
    [ "$answer" != x ] || { aws_fail 1 "it is empty"; return; }
    printf '%s' "${answer%x}"
}

aws_no_text() {
    case $1${2:+ key} in
        3) aws_fail 1 "it holds no text (a binary secret?)" ;;
        "3 key") aws_fail 1 "its JSON has no key $2" ;;
        "4 key") aws_fail 1 "it is not JSON, so it has no key $2" ;;
        5*) aws_fail 1 "it holds control characters, which an environment file cannot carry" ;;
        *) aws_fail 2 "the answer is not JSON" ;;
    esac
}

# aws_object BUCKET KEY REGION FILE: an object of S3. Bucket and key need no encoding.
aws_object() {
    aws_service=s3 region=$3
    set -- "$1" "$2" "$4" "${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL-}}"
    if [ -n "$4" ]; then url=${4%/}/$1/$2; else url=https://$1.s3.$region.$(aws_domain)/$2; fi
    if aws_has_cli; then
        aws_cli "$4" s3api get-object --bucket "$1" --key "$2" "$3" >/dev/null
        return
    fi
    empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    code=$(aws_signed "$url" "header = \"x-amz-content-sha256: $empty\"
output = \"$(aws_quote "$3")\"
write-out = \"%{http_code}\"") || return
    [ "$code" = 200 ] || aws_explain "$code $(head -c 2000 "$3")"
}

# --- one question: aws_ask SERVICE TARGET BODY, and the same for the aws command

aws_ask() {
    aws_service=$1 aws_target=$2 aws_body=$3
    shift 3
    aws_find_region || return
    case $aws_service in
        ssm) endpoint=${AWS_ENDPOINT_URL_SSM:-${AWS_ENDPOINT_URL-}} ;;
        *) endpoint=${AWS_ENDPOINT_URL_SECRETS_MANAGER:-${AWS_ENDPOINT_URL-}} ;;
    esac
    if aws_has_cli; then
        aws_cli "$endpoint" "$aws_service" "$@"
        return
    fi
    answer=$(aws_signed "${endpoint:-https://$aws_service.$region.$(aws_domain)}/" "header = \"X-Amz-Target: $aws_target\"
header = \"Content-Type: application/x-amz-json-1.1\"
data = \"$(aws_quote "$aws_body")\"
write-out = \"\\n%{http_code}\"") || return
    case $answer in
        *"
200") printf '%s' "${answer%?200}" ;;
        *) aws_explain "$answer" ;;
    esac
}

# Only for China's regions the name ends otherwise.
aws_domain() { case $region in cn-*) echo amazonaws.com.cn ;; *) echo amazonaws.com ;; esac; }

aws_find_region() {
    case $name in arn:*) region=$(printf '%s' "$name" | cut -d: -f4) ;; *) region=${AWS_REGION:-${AWS_DEFAULT_REGION-}} ;; esac
    [ -n "$region" ] || region=$(aws_instance /latest/meta-data/placement/region)
}

aws_has_cli() { command -v aws >/dev/null; }

# aws_cli ENDPOINT WORD...
aws_cli() {
    endpoint=$1
    shift
    [ -z "$endpoint" ] || set -- "$@" --endpoint-url "$endpoint"
    AWS_PAGER='' AWS_MAX_ATTEMPTS=2 aws "$@" --region "$region" --output json --cli-connect-timeout 5 --cli-read-timeout 60 \
        2>"$scratch/aws-cli" || aws_explain "$(cat "$scratch/aws-cli")"
}

# What AWS says of a failure: as the aws command prints it, or the body and status that curl got.
aws_explain() {
    said=$(printf '%s' "$1" | tr -s '[:space:]' ' ' | cut -c1-400)
    case $said in
        *ParameterNotFound* | *ParameterVersionNotFound* | *ResourceNotFoundException* | *NoSuchKey* | *NoSuchBucket* | *"(404)"*)
            aws_fail 1 "not found in $region"
            ;;
        *AccessDenied* | *"not authorized"* | *Forbidden* | *"(403)"*) aws_fail 1 "access denied to the instance's role: $said" ;;
        *SignatureDoesNotMatch* | *InvalidSignature* | *IncompleteSignature*)
            aws_fail 1 "the signature was refused: is the clock right? an old curl signs too little: install the aws command: $said"
            ;;
        *"Unable to locate credentials"* | *NoCredentials*) aws_fail 2 "no credentials: the instance has no role: $said" ;;
        *ValidationException* | *InvalidParameter* | *InvalidRequest*) aws_fail 1 "$said" ;;
        *) aws_fail 2 "no answer that can be used: $said" ;;
    esac
}

# --- curl

aws_quote() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# aws_curl CONFIGURATION: everything on its standard input.
aws_curl() {
    printf 'silent\nshow-error\nconnect-timeout = 5\nmax-time = 60\n%s\n' "$1" | curl -q --config - 2>"$scratch/aws-curl" && return
    aws_fail 2 "not reachable: $(tail -n 1 "$scratch/aws-curl")"
}

# aws_signed URL CONFIGURATION
aws_signed() {
    aws_can_sign && aws_keys || return
    aws_curl "url = \"$1\"
aws-sigv4 = \"aws:amz:$region:$aws_service\"
user = \"$(aws_quote "$access_key"):$(aws_quote "$secret_key")\"${session_token:+
header = \"X-Amz-Security-Token: $session_token\"}
$2"
}

aws_can_sign() {
    version=$(curl --version 2>/dev/null | sed -n '1s/^curl \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ "${version% *}" -gt 7 ] 2>/dev/null || [ "${version#7 }" -ge 75 ] 2>/dev/null ||
        aws_fail 1 "neither the aws command nor curl 7.75 or newer is on this node: install awscli"
}

aws_keys() {
    access_key=${AWS_ACCESS_KEY_ID-} secret_key=${AWS_SECRET_ACCESS_KEY-} session_token=${AWS_SESSION_TOKEN-}
    [ -z "$access_key" ] || return 0
    role=$(aws_instance /latest/meta-data/iam/security-credentials/) || return
    role=$(printf '%s' "$role" | head -n 1)
    found=$(aws_instance "/latest/meta-data/iam/security-credentials/$role") || return
    if ! { access_key=$(printf '%s' "$found" | aws_json AccessKeyId) &&
        secret_key=$(printf '%s' "$found" | aws_json SecretAccessKey) && session_token=$(printf '%s' "$found" | aws_json Token); }; then
        aws_fail 2 "no credentials: the role $role has none yet"
    fi
}

# aws_instance PATH: what the instance says of itself (IMDSv2).
aws_instance() {
    metadata=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
    command -v curl >/dev/null || { aws_fail 1 "curl is needed to ask the instance for its role and region, or set AWS_REGION"; return; }
    metadata_token=$(aws_curl "url = \"${metadata%/}/latest/api/token\"
request = \"PUT\"
noproxy = \"*\"
fail
header = \"X-aws-ec2-metadata-token-ttl-seconds: 300\"") || { aws_fail 2 "the instance metadata service does not answer"; return; }
    answer=$(aws_curl "url = \"${metadata%/}$1\"
noproxy = \"*\"
header = \"X-aws-ec2-metadata-token: $metadata_token\"
write-out = \"\\n%{http_code}\"") || return
    case $answer in
        *"
200") printf '%s' "${answer%?200}" ;;
        *"
404") aws_fail 2 "no credentials: the instance has no role" ;;
        *) aws_fail 2 "the instance metadata service answers with status $(printf '%s' "$answer" | tail -n 1)" ;;
    esac
}

# --- what is in an answer

# aws_json KEY...: one value of the JSON document on standard input, decoded. Status 3: it is not there, 4: no JSON,
# 5: control characters.
aws_json() {
    wanted=
    for part; do
        wanted="$wanted
$part"
    done
    wanted=$wanted awk '
        function skip() { while (substr(text, at, 1) ~ /[ \t\r\n]/) at++ }
        function end(status) { ended = status; exit status }
        function hex(digits,   i, n, digit) {
            for (i = 1; i <= 4; i++) {
                digit = index("0123456789abcdef", tolower(substr(digits, i, 1)))
                if (substr(digits, i, 1) == "" || !digit) end(4)
                n = n * 16 + digit - 1
            }
            return n
        }
        function utf8(n) {
            if (n < 128) return sprintf("%c", n)
            if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
            if (n < 65536) return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
            return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, 128 + int(n / 64) % 64, 128 + n % 64)
        }
        function escaped(   c, n) {
            c = substr(text, at + 1, 1)
            at += 2
            if (index("\"\\/", c)) return c
            if (index("ntrbf", c)) return substr("\n\t\r\b\f", index("ntrbf", c), 1)
            if (c != "u") end(4)
            n = hex(substr(text, at, 4))
            at += 4
            if (n >= 55296 && n < 56320 && substr(text, at, 2) == "\\u") {
                n = 65536 + (n - 55296) * 1024 + hex(substr(text, at + 2, 4)) - 56320
                at += 6
            }
            # NUL is refused as any other control character, where it is wanted.
            return n ? utf8(n) : "\001"
        }
        function string(   out, rest) {
            if (substr(text, at++, 1) != "\"") end(4)
            while (1) {
                rest = substr(text, at)
                if (!match(rest, /["\\]/)) end(4)
                out = out substr(rest, 1, RSTART - 1)
                at += RSTART - 1
                if (substr(rest, RSTART, 1) == "\"") break
                out = out escaped()
            }
            at++
            return out
        }
        function take(path, found) {
            if (path != ENVIRON["wanted"]) return
            if (found ~ /[\001-\010\013-\037\177]/) end(5)
            printf "%s", found
            end(0)
        }
        function value(path,   opened, key, rest) {
            skip()
            opened = substr(text, at, 1)
            if (opened == "\"") {
                take(path, string())
            } else if (opened == "{" || opened == "[") {
                at++
                skip()
                if (substr(text, at, 1) ~ /[]}]/) { at++; return }
                do {
                    # No key has a newline in it.
                    key = "\n"
                    if (opened == "{") {
                        skip()
                        key = string()
                        skip()
                        if (substr(text, at++, 1) != ":") end(4)
                    }
                    value(path "\n" key)
                    skip()
                } while (substr(text, at++, 1) == ",")
                if (substr(text, at - 1, 1) !~ /[]}]/) end(4)
            } else {
                rest = substr(text, at)
                if (!match(rest, /^(-?[0-9][-+.0-9eE]*|true|false|null)/)) end(4)
                at += RLENGTH
                if (substr(rest, 1, RLENGTH) != "null") take(path, substr(rest, 1, RLENGTH))
            }
        }
        { text = text separator $0; separator = "\n" }
        END {
            if (ended != "") exit ended
            at = 1
            value("")
            skip()
            exit at > length(text) ? 3 : 4
        }'
}
