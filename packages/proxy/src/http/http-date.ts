/**
 * HTTP-date (RFC 9110 §5.6.7): IMF-fixdate and the two obsolete forms, in any letter case, and nothing else. `Date.parse`
 * reads far more than that, and a date that two caches read differently is a freshness lifetime they disagree on.
 */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const LONG_DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

const TIME = '([0-9]{2}):([0-9]{2}):([0-9]{2})'
const IMF_FIXDATE = new RegExp(`^([a-z]{3}), ([0-9]{2}) ([a-z]{3}) ([0-9]{4}) ${TIME} gmt$`)
const RFC850_DATE = new RegExp(`^([a-z]{6,9}), ([0-9]{2})-([a-z]{3})-([0-9]{2}) ${TIME} gmt$`)
const ASCTIME_DATE = new RegExp(`^([a-z]{3}) ([a-z]{3}) ([0-9 ][0-9]) ${TIME} ([0-9]{4})$`)

/** Epoch ms; undefined for what is no HTTP-date. `now` (epoch ms) settles the century of an RFC 850 date. */
export function parseHttpDate(text: string, now: number): number | undefined {
  const lower = text.toLowerCase()
  let match = IMF_FIXDATE.exec(lower)
  if (match !== null) {
    if (!DAYS.includes(match[1])) return undefined
    return instant(Number(match[4]), match[3], match[2], match[5], match[6], match[7])
  }
  match = RFC850_DATE.exec(lower)
  if (match !== null) {
    if (!LONG_DAYS.includes(match[1])) return undefined
    const thisYear = new Date(now).getUTCFullYear()
    let year = thisYear - (thisYear % 100) + Number(match[4])
    // RFC 9110 §5.6.7: more than 50 years ahead means the last century.
    if (year > thisYear + 50) year -= 100
    return instant(year, match[3], match[2], match[5], match[6], match[7])
  }
  match = ASCTIME_DATE.exec(lower)
  if (match !== null) {
    if (!DAYS.includes(match[1])) return undefined
    return instant(Number(match[7]), match[2], match[3].trim(), match[4], match[5], match[6])
  }
  return undefined
}

function instant(
  year: number,
  monthName: string,
  dayText: string,
  hourText: string,
  minuteText: string,
  secondText: string,
): number | undefined {
  const month = MONTHS.indexOf(monthName)
  const day = Number(dayText)
  const hour = Number(hourText)
  const minute = Number(minuteText)
  const second = Number(secondText)
  // 60 is a leap second (RFC 9110 §5.6.7 by way of RFC 5322).
  if (month < 0 || day < 1 || hour > 23 || minute > 59 || second > 60) return undefined
  const at = Date.UTC(year, month, day, hour, minute, second)
  return new Date(Date.UTC(year, month, day)).getUTCDate() === day ? at : undefined
}

/** IMF-fixdate of an instant in epoch ms. */
export function formatHttpDate(at: number): string {
  return new Date(Math.floor(at / 1000) * 1000).toUTCString()
}
