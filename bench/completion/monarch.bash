# SPDX-License-Identifier: Apache-2.0
# Completion of monarch for bash.

_monarch_words()
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Files of one ending, and the directories on the way to them.
_monarch_files()
{
    mapfile -t COMPREPLY < <(compgen -d -- "$2"; compgen -f -X "!*.$1" -- "$2")
    compopt -o filenames 2>/dev/null || true
}

_monarch_value()
{
    case $1 in
        --q | --k | --v | --mask) _monarch_files npy "$2" ;;
        --out) _monarch_files "$3" "$2" ;;
        --list)
            _monarch_files txt "$2"
            [[ $3 == html ]] && mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
                compgen -W 'short cases none' -- "$2"
            )
            ;;
        --report) _monarch_files html "$2" ;;
        --against) _monarch_words 'oracle cpu cuda opencl vulkan' "$2" ;;
        --stages)
            mapfile -t COMPREPLY < <(compgen -d -- "$2")
            compopt -o filenames 2>/dev/null || true
            ;;
        --compare) _monarch_words 'exact' "$2" ;;
        --pad) _monarch_words 'end begin' "$2" ;;
        --dtype) _monarch_words 'f32 f16 bf16' "$2" ;;
        --intermediates) _monarch_words 'default fp8' "$2" ;;
        --device) _monarch_words 'cpu cuda opencl vulkan' "$2" ;;
        --variant) _monarch_words "$(monarch devices 2>/dev/null |
            sed -n 's/^  variants *//p')" "$2" ;;
        --block | --steps | --scale | --threads | --shape | --kv-heads | --seconds | --seed | \
            --batch | --head | --case | --random | --soak | --limit | --jobs) COMPREPLY=() ;;
        *) return 1 ;;
    esac
}

_monarch()
{
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]}
    local problem='--block --steps --pad --scale --dtype --intermediates --device --variant
        --threads --help'
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _monarch_words 'run devices bench map verify --help --version' "$word"
        return
    fi
    local ending=npy
    [[ $command == map ]] && ending=png
    [[ $command == verify ]] && ending=html
    _monarch_value "$previous" "$word" "$ending" && return
    case $command in
        run) _monarch_words "--q --k --v --mask --out --compare --stages $problem" "$word" ;;
        devices) _monarch_words '--threads --help' "$word" ;;
        bench) _monarch_words "--shape --list --kv-heads --csv --seconds --seed $problem" "$word" ;;
        map) _monarch_words "--q --k --mask --batch --head --out $problem" "$word" ;;
        verify)
            _monarch_words "--device --against --list --case --random --soak --limit --dtype
                --variant --seed --report --json --jobs --threads --help" "$word"
            ;;
    esac
}

complete -F _monarch monarch
