# Completion for zsh: source this after compinit.

_trio_pool_chaos() {
    local skip=2 line word tab=$'\t'
    local -a call described
    call=(${~words[1]})
    if [[ ${words[1]:t} == python* ]]; then
        if [[ ${words[2]} != -m || ${words[3]} != chaos || CURRENT -lt 4 ]]; then
            autoload -Uz _python
            _python
            return
        fi
        call+=(-m chaos)
        skip=4
    fi
    for line in "${(@f)$("${call[@]}" __complete "${(@)words[skip,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files ;;
            :toml) _files -g '*.toml' ;;
            :directories) _files -/ ;;
            *$tab*)
                word=${line%%$tab*}
                described+=("${word//:/\\:}:${line#*$tab}")
                ;;
            *) described+=("${line//:/\\:}") ;;
        esac
    done
    _describe -t chaos chaos described
}

compdef _trio_pool_chaos @NAMES@
