import { FieldSection } from '../../http/message/field-section.ts'
import type { TransportLimits } from '../limits.ts'

const sections = new WeakMap<TransportLimits, FieldSection>()

/** The one field section of all connections with these limits: what it holds is used up within an event. */
export function sharedSection(limits: TransportLimits): FieldSection {
  let section = sections.get(limits)
  if (section === undefined) {
    section = new FieldSection(limits.maxHeaderCount)
    sections.set(limits, section)
  }
  return section
}
