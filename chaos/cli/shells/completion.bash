# Completion for bash: source this, or have it in the file of completions that bash reads.

_trio_pool_chaos() {
    local current=${COMP_WORDS[COMP_CWORD]} word about skip=1
    local -a call=("${COMP_WORDS[0]/#\~/$HOME}")
    case ${call[0]##*/} in
        python*)
            if [[ ${COMP_WORDS[1]} != -m || ${COMP_WORDS[2]} != chaos || COMP_CWORD -lt 3 ]]; then
                compopt -o default 2>/dev/null
                COMPREPLY=()
                return
            fi
            call+=(-m chaos)
            skip=3
            ;;
    esac
    COMPREPLY=()
    [[ $current == = ]] && current=
    while IFS=$'\t' read -r word about; do
        case $word in
            :files) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
            :toml) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -X '!*.toml' -- "$current"; compgen -d -- "$current") ;;
            :directories) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") ;;
            *) COMPREPLY+=("$word") ;;
        esac
        [[ $word == :* ]] && compopt -o filenames 2>/dev/null
    done < <("${call[@]}" __complete "${COMP_WORDS[@]:skip:COMP_CWORD-skip+1}" 2>/dev/null)
}

complete -F _trio_pool_chaos @NAMES@
